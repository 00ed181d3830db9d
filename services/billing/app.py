"""Billing's composition root: settings -> runtime -> consumer and routes."""

from fastapi import FastAPI

from libs.events.names import Service
from libs.runtime import deadletters, deadletters_http
from libs.runtime.auth import InternalTokens, require_principal
from libs.runtime.consumer import HISTORY_RECORDS_MAX
from libs.runtime.http import HttpOptions
from libs.runtime.service import Parts, Runtime
from services.billing import consumers
from services.billing.api import bills, usage
from services.billing.domain.bills import FILE_BYTES_MAX
from services.billing.handlers.bills import Bills
from services.billing.handlers.drift import DriftMetrics
from services.billing.rebuild import PROJECTION
from services.billing.settings import Settings

MIGRATIONS = PROJECTION.migrations
# A bill may have as many bytes as it likes below this: what is too much in it is told by its line.
LARGE_BODIES = {"/api/admin/reconciliation/": 2 * FILE_BYTES_MAX}


def create_app(settings: Settings | None = None, parts: Parts | None = None) -> FastAPI:
    settings = settings or Settings.load()
    runtime = Runtime(Service.BILLING, settings, parts, migrations=MIGRATIONS)
    runtime.verify(PROJECTION)
    runtime.remember(consumers.HISTORY)
    runtime.consume(
        consumers.TOPICS,
        consumers.EVENT_TYPES,
        consumers.record,
        records_max=HISTORY_RECORDS_MAX,
        pace_seconds=consumers.PACE_SECONDS,
    )
    letters = runtime.dead_letters(
        consumers.EVENT_TYPES, consumers.record, deadletters.refuse(consumers.NEVER_DISCARDED)
    )
    drift = DriftMetrics(runtime.registry, runtime.database, runtime.clock)
    runtime.background("drift", drift.run)
    tokens = InternalTokens(settings.internal_secret, runtime.clock)
    app = runtime.http_app(options=HttpOptions(body_bytes_max_under=LARGE_BODIES))
    principal_of = require_principal(tokens.verifier(Service.BILLING))
    app.include_router(usage.create_router(runtime.database, runtime.clock, principal_of))
    desk = Bills(runtime.database, runtime.clock, settings.bill_formats)
    app.include_router(bills.create_router(runtime.database, desk, principal_of))
    app.include_router(deadletters_http.create_router(letters, principal_of))
    return app
