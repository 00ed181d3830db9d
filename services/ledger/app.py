"""The ledger's composition root: settings -> runtime -> consumer and routes."""

from fastapi import FastAPI

from libs.events.names import TRAIL_GROUP, Service
from libs.events.recorded import ENVELOPES, recorded_without_person
from libs.runtime import deadletters, deadletters_http
from libs.runtime.auth import InternalTokens, require_principal
from libs.runtime.clock import Clock
from libs.runtime.db import PLANNED_BY_VALUE
from libs.runtime.intake import Gatherer
from libs.runtime.service import Parts, Runtime
from libs.runtime.timer import Timer
from services.ledger import consumers
from services.ledger.adapters.keys import KeyFile, keys_of_text
from services.ledger.api import balances, orders, proofs
from services.ledger.api import trail as trail_api
from services.ledger.handlers import discards, trail
from services.ledger.handlers.booking import EXPIRY_CHANNEL
from services.ledger.handlers.expiry import Expiry
from services.ledger.handlers.log_metrics import LogMetrics
from services.ledger.handlers.orders import Orders
from services.ledger.handlers.receipts import Receipts
from services.ledger.handlers.sealing import Sealer
from services.ledger.handlers.stories import Stories
from services.ledger.ports import Keys
from services.ledger.rebuild import LOG, PROJECTION, TRAIL
from services.ledger.settings import Settings

MIGRATIONS = PROJECTION.migrations

# For the trail, its readers and the log: they wait for each other, and no booking for them.
TRAIL_CONNECTIONS = 4

# How late a lot may be ended whose wake-up was lost; nothing is burnt of it meanwhile.
EXPIRY_HORIZON_SECONDS = 30.0


def create_app(settings: Settings | None = None, parts: Parts | None = None) -> FastAPI:
    settings = settings or Settings.load()
    runtime = Runtime(Service.LEDGER, settings, parts, migrations=MIGRATIONS)
    for projection in (PROJECTION, LOG, TRAIL):
        runtime.verify(projection)
    runtime.remember(consumers.create_history(runtime.clock))
    handler = consumers.create_handler(runtime.clock, runtime.ids)
    runtime.consume(consumers.TOPICS, consumers.EVENT_TYPES, handler, patience=consumers.PATIENCE)
    apart = runtime.pool(TRAIL_CONNECTIONS, plans=PLANNED_BY_VALUE)
    runtime.consume(
        trail.TOPICS,
        (),
        trail.index,
        group=TRAIL_GROUP,
        database=apart,
        registry=ENVELOPES,
        reader=Gatherer,
        records_max=trail.RECORDS_MAX,
        pace_seconds=trail.PACE_SECONDS,
        forget=recorded_without_person,
    )
    expiry = Timer(
        channel=EXPIRY_CHANNEL,
        work=Expiry(runtime.database, runtime.clock),
        wakeups=runtime.wakeups,
        clock=runtime.clock,
        horizon_seconds=EXPIRY_HORIZON_SECONDS,
    )
    runtime.background("expiry", expiry.run)
    keys = _keys(settings, runtime.clock)
    sealer = Sealer(
        database=apart,
        bus=runtime.bus,
        wakeups=runtime.wakeups,
        clock=runtime.clock,
        keys=keys,
        metrics=LogMetrics(runtime.registry, runtime.clock),
    )
    runtime.background("sealer", sealer.run)
    settle = discards.create_settle(deadletters.refuse(consumers.NEVER_DISCARDED))
    letters = runtime.dead_letters(consumers.EVENT_TYPES, handler, settle)
    tokens = InternalTokens(settings.internal_secret, runtime.clock)
    app = runtime.http_app()
    principal_of = require_principal(tokens.verifier(Service.LEDGER))
    app.include_router(balances.create_router(runtime.database, runtime.clock, principal_of))
    app.include_router(trail_api.create_router(Stories(apart), principal_of))
    desk = Orders(runtime.database, runtime.clock, runtime.ids)
    app.include_router(orders.create_router(desk, runtime.clock, principal_of))
    app.include_router(proofs.create_router(Receipts(apart, keys), principal_of))
    app.include_router(deadletters_http.create_router(letters, principal_of))
    return app


def _keys(settings: Settings, clock: Clock) -> Keys | None:
    if settings.receipt_keys is not None:
        return keys_of_text(settings.receipt_keys.get_secret_value(), "LEDGER_RECEIPT_KEYS")
    if settings.receipt_keys_file is not None:
        return KeyFile(settings.receipt_keys_file, clock.now())
    return None
