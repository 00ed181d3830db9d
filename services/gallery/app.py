"""The gallery's composition root: settings -> runtime and storage -> consumer and routes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from libs.events.erasure import without_text
from libs.events.names import Service
from libs.runtime import deadletters, deadletters_http
from libs.runtime.asset_addresses import AssetSigner
from libs.runtime.auth import InternalTokens, Verify, find_principal, require_principal
from libs.runtime.consumer import HISTORY_RECORDS_MAX
from libs.runtime.http import HttpOptions
from libs.runtime.objects_s3 import S3Options
from libs.runtime.service import Parts, Runtime
from services.gallery import consumers
from services.gallery.adapters.shrinker import ShrinkerProcess
from services.gallery.adapters.storage import S3Assets
from services.gallery.api import assets, files, proxy, public, uploads
from services.gallery.api.bodies import Addresses
from services.gallery.domain.addresses import Signer
from services.gallery.handlers.custody import Custody
from services.gallery.handlers.items import Items
from services.gallery.handlers.thumbnail_watch import ThumbnailWatch
from services.gallery.handlers.thumbnails import Thumbnails
from services.gallery.handlers.uploads import Uploads
from services.gallery.rebuild import PROJECTION
from services.gallery.settings import Settings
from services.gallery.worker import Sweeper

MIGRATIONS = PROJECTION.migrations

# Somebody waits for the picture: better an early 503, which browsers and proxies can repeat.
STORAGE_ATTEMPTS_MAX = 2


def create_app(settings: Settings | None = None, parts: Parts | None = None) -> FastAPI:
    settings = settings or Settings.load()
    runtime = Runtime(Service.GALLERY, settings, parts, migrations=MIGRATIONS)
    runtime.verify(PROJECTION)
    runtime.remember(consumers.HISTORY)
    runtime.consume(
        consumers.TOPICS,
        consumers.EVENT_TYPES,
        consumers.take_in,
        records_max=HISTORY_RECORDS_MAX,
        forget=without_text,  # of pictures that came too late the objects are to be deleted
    )
    letters = runtime.dead_letters(
        consumers.EVENT_TYPES, consumers.take_in, deadletters.refuse(consumers.NEVER_DISCARDED)
    )
    storage = S3Assets(S3Options.of(settings, attempts_max=STORAGE_ATTEMPTS_MAX))
    sweeper = Sweeper(
        database=runtime.database, assets=storage, wakeups=runtime.wakeups, clock=runtime.clock
    )
    runtime.background("sweeper", sweeper.run)
    custody = Custody(
        database=runtime.database,
        source=storage,
        sink=storage,
        clock=runtime.clock,
        registry=runtime.registry,
    )
    runtime.background("custody", custody.run)
    _make_thumbnails(runtime, storage)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with storage, runtime.lifespan(app):
            yield

    app = runtime.http_app(
        lifespan=lifespan,
        options=HttpOptions(
            open_to_all=("/assets/",),
            body_bytes_max_under={"/api/upload/": uploads.BODY_BYTES_MAX},
        ),
    )
    _add_routes(app, settings, runtime, storage)
    app.include_router(
        deadletters_http.create_router(letters, require_principal(_verifier(settings, runtime)))
    )
    return app


def _make_thumbnails(runtime: Runtime, storage: S3Assets) -> None:
    thumbnails = Thumbnails(
        database=runtime.database,
        source=storage,
        sink=storage,
        shrinker=ShrinkerProcess(),
        wakeups=runtime.wakeups,
        clock=runtime.clock,
        ids=runtime.ids,
        registry=runtime.registry,
    )
    runtime.background("thumbnails", thumbnails.run)
    watch = ThumbnailWatch(
        database=runtime.database, clock=runtime.clock, registry=runtime.registry
    )
    runtime.background("thumbnail-watch", watch.run)


def _verifier(settings: Settings, runtime: Runtime) -> Verify:
    return InternalTokens(settings.internal_secret, runtime.clock).verifier(Service.GALLERY)


def _add_routes(app: FastAPI, settings: Settings, runtime: Runtime, storage: S3Assets) -> None:
    verify = _verifier(settings, runtime)
    principal_of = require_principal(verify)
    asset_signer = AssetSigner.of(settings, runtime.clock)
    addresses = Addresses(settings.public_base_url, settings.asset_base_url, asset_signer)
    items = Items(runtime.database)
    app.include_router(public.create_router(runtime.database, find_principal(verify), addresses))
    app.include_router(
        files.create_router(runtime.database, runtime.clock, principal_of, items, addresses)
    )
    desk = uploads.Desk(
        uploads=Uploads(
            database=runtime.database, objects=storage, ids=runtime.ids, clock=runtime.clock
        ),
        addresses=addresses,
        signer=Signer(settings.internal_secret.get_secret_value().encode()),
        clock=runtime.clock,
        public_base_url=settings.public_base_url,
    )
    app.include_router(uploads.create_router(desk, principal_of))
    shown = assets.Shown(runtime.database, asset_signer)
    app.include_router(proxy.create_router(shown, storage, addresses, principal_of))
    app.include_router(assets.create_router(shown, storage))
