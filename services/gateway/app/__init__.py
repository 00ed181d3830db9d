"""Puts the gateway together: `uvicorn --factory services.gateway.app:create_app`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Final

from fastapi import FastAPI

from libs.events.names import Service
from libs.runtime.http import HttpOptions
from libs.runtime.objects import ObjectStore
from libs.runtime.objects_s3 import S3ObjectStore, S3Options
from libs.runtime.service import Parts, Runtime
from services.gateway import consumers, projections
from services.gateway.adapters.owners import HttpOwners
from services.gateway.adapters.passwords import Argon2Passwords
from services.gateway.adapters.references import HttpReferences
from services.gateway.adapters.webhooks import HttpWebhooks
from services.gateway.api import documentation
from services.gateway.api.reading import BODY_BYTES_MAX
from services.gateway.app.live import send_mails, send_webhooks
from services.gateway.app.people import create_people, ensure_admin, issuer_of
from services.gateway.app.routes import add_routes
from services.gateway.handlers.holds import HoldWatch
from services.gateway.handlers.inputs import Inputs, InputSweeping
from services.gateway.handlers.webhooks import Endpoints
from services.gateway.rebuild import PROJECTION
from services.gateway.settings import Settings

# A picture of 50 MB as base64, in JSON or in a form.
UPLOAD_BODY_BYTES_MAX: Final = 80_000_000
# Billing takes half of it, and says in which line it is too much.
BILL_BYTES_MAX: Final = 64 * 1024 * 1024
# Under these, requests may carry pictures.
LARGE_BODIES: Final = (
    "/api/jobs",
    "/api/unified-generate",
    "/api/image/",
    "/api/ideogram/",
    "/api/qwen/",
    "/api/flux/generate",
    "/api/video/",
    "/v1/images/",
)

# Five million bytes of a picture as base64 text, and the JSON around it.
PROFILE_BYTES_MAX: Final = 7_000_000

MIGRATIONS = PROJECTION.migrations


def create_app(settings: Settings | None = None, parts: Parts | None = None) -> FastAPI:
    """The gateway, joined to its settings and parts; nothing runs before its lifespan does."""
    settings = settings or Settings.load()
    runtime = Runtime(Service.GATEWAY, settings, parts, migrations=MIGRATIONS)
    runtime.verify(PROJECTION)
    passwords = Argon2Passwords(threads=settings.password_threads)
    issuer = issuer_of(settings, runtime.clock)
    owners = _owners(settings)
    people = create_people(settings, runtime, passwords, issuer)
    runtime.remember(consumers.create_history(runtime.clock))
    runtime.consume(
        consumers.TOPICS,
        consumers.EVENT_TYPES,
        projections.project,
        pace_seconds=consumers.PACE_SECONDS,
    )
    watch = HoldWatch(database=runtime.database, clock=runtime.clock, registry=runtime.registry)
    runtime.background("holds", watch.run)
    send_mails(settings, runtime)
    webhooks = HttpWebhooks(allows_loopback=settings.loopback_webhooks)
    send_webhooks(settings, runtime, webhooks)

    references = HttpReferences(allows_loopback=settings.loopback_references)
    inputs = Inputs(
        references=references, owners=owners, clock=runtime.clock, assets_at=settings.assets_at
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        storage = S3ObjectStore.connect(S3Options.of(settings))
        async with (
            storage as objects,
            references.opened(),
            webhooks.opened(),
            owners.opened(),
            issuer.opened() if issuer else nullcontext(),
        ):
            inputs.keep_in(objects)
            people.profiles.keep_in(objects)
            runtime.background("input sweeping", _sweeping(runtime, objects).run)
            async with runtime.lifespan(app):
                await ensure_admin(settings, people.accounts)
                yield
        passwords.close()

    app = runtime.http_app(
        lifespan=lifespan,
        options=_options(settings, owners),
    )
    endpoints = Endpoints(
        database=runtime.database, webhooks=webhooks, ids=runtime.ids, clock=runtime.clock
    )
    add_routes(app, settings, runtime, people, owners, inputs, endpoints)
    return app


def _options(settings: Settings, owners: HttpOwners) -> HttpOptions:
    return HttpOptions(
        cors_origins=settings.cors_origins,
        open_to_all=("/assets/", "/profile-pictures/"),
        body_bytes_max_under={
            **dict.fromkeys(LARGE_BODIES, BODY_BYTES_MAX),
            "/api/upload/": UPLOAD_BODY_BYTES_MAX,
            "/api/admin/reconciliation/": BILL_BYTES_MAX,
            "/api/users/me": PROFILE_BYTES_MAX,
        },
        document=documentation.merged_document(owners),
    )


def _owners(settings: Settings) -> HttpOwners:
    return HttpOwners(
        {
            Service.GENERATION: settings.generation_url,
            Service.GALLERY: settings.gallery_url,
            Service.LEDGER: settings.ledger_url,
            Service.BILLING: settings.billing_url,
        }
    )


def _sweeping(runtime: Runtime, objects: ObjectStore) -> InputSweeping:
    return InputSweeping(database=runtime.database, objects=objects, clock=runtime.clock)
