"""The ledger's composition root: settings -> runtime -> consumer and routes."""

from pathlib import Path

from fastapi import FastAPI

from libs.events.names import Service
from libs.runtime.auth import InternalTokens, require_principal
from libs.runtime.http import create_http_app
from libs.runtime.service import Parts, Runtime
from libs.runtime.telemetry import configure_logging
from services.ledger import consumers
from services.ledger.api import create_router
from services.ledger.settings import Settings

MIGRATIONS = Path(__file__).parent / "migrations"


def create_app(settings: Settings | None = None, parts: Parts | None = None) -> FastAPI:
    settings = settings or Settings.load()
    if parts is None:  # a process of its own, not one of several services in a test
        configure_logging(Service.LEDGER, settings.log_level)
        parts = Parts.real(Service.LEDGER, settings)
    runtime = Runtime(Service.LEDGER, settings, parts, migrations=MIGRATIONS)
    runtime.consume(
        consumers.TOPICS, consumers.EVENT_TYPES, consumers.create_handler(runtime.clock)
    )
    tokens = InternalTokens(settings.internal_secret, runtime.clock)
    app = create_http_app(
        Service.LEDGER,
        clock=runtime.clock,
        ids=runtime.ids,
        random=runtime.random,
        registry=runtime.registry,
        checks={"database": runtime.is_database_ready},
        lifespan=runtime.lifespan,
    )
    principal_of = require_principal(tokens.verifier(Service.LEDGER))
    app.include_router(create_router(runtime.database, principal_of))
    return app
