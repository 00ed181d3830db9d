"""Billing's composition root: settings -> runtime -> consumer and routes."""

from fastapi import FastAPI

from libs.events.names import Service
from libs.runtime import deadletters, deadletters_http
from libs.runtime.auth import InternalTokens, require_principal
from libs.runtime.consumer import HISTORY_RECORDS_MAX
from libs.runtime.service import Parts, Runtime
from services.billing import consumers
from services.billing.api import usage
from services.billing.rebuild import PROJECTION
from services.billing.settings import Settings

MIGRATIONS = PROJECTION.migrations


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
    tokens = InternalTokens(settings.internal_secret, runtime.clock)
    app = runtime.http_app()
    principal_of = require_principal(tokens.verifier(Service.BILLING))
    app.include_router(usage.create_router(runtime.database, runtime.clock, principal_of))
    app.include_router(deadletters_http.create_router(letters, principal_of))
    return app
