"""Generation's composition root: settings -> runtime, storage, providers -> consumer, worker."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from fastapi import FastAPI

from libs.events.names import Service
from libs.runtime.auth import InternalTokens, require_principal
from libs.runtime.emitter import Emitter
from libs.runtime.objects import ObjectStore
from libs.runtime.objects_s3 import S3ObjectStore, S3Options
from libs.runtime.service import Parts, Runtime
from libs.runtime.timer import TimedWork, Timer
from services.generation import consumers
from services.generation.adapters.doors import DOORS, accesses, webhook_secrets
from services.generation.adapters.http.client import ProviderHttp
from services.generation.adapters.local import LocalProvider, drawing_threads
from services.generation.api import create_router
from services.generation.domain.capabilities import Changes
from services.generation.domain.catalogue import CATALOGUE
from services.generation.handlers.attempts import Attempts
from services.generation.handlers.breakers import BREAKER_CHANNEL, Breakers
from services.generation.handlers.budget import ByteBudget
from services.generation.handlers.discards import Discards
from services.generation.handlers.execution import Execution
from services.generation.handlers.following import Following
from services.generation.handlers.metrics import Metrics
from services.generation.handlers.overdue import Overdue
from services.generation.handlers.progress import Progress
from services.generation.handlers.requests import CANCEL_CHANNEL, DUE_CHANNEL, Requests
from services.generation.handlers.submissions import Submissions
from services.generation.handlers.sweeping import SWEEP_CHANNEL, Sweeping
from services.generation.handlers.webhooks import Webhooks
from services.generation.ports import AnyProvider
from services.generation.rebuild import PROJECTION
from services.generation.settings import Settings
from services.generation.store import queue
from services.generation.worker import Limits, Worker

MIGRATIONS = PROJECTION.migrations


def create_app(settings: Settings | None = None, parts: Parts | None = None) -> FastAPI:
    settings = settings or Settings.load()
    runtime = Runtime(Service.GENERATION, settings, parts, migrations=MIGRATIONS)
    runtime.verify(PROJECTION)
    drawing = drawing_threads()
    http = ProviderHttp(random=runtime.random, allows_loopback=settings.loopback_results)
    providers = _providers(LocalProvider(drawing), *_remote(settings, http))
    generation = _Generation(settings, runtime, providers)
    runtime.before_serving(generation.offer_providers)
    runtime.remember(consumers.HISTORY)
    handler = consumers.take_in(generation.requests)
    runtime.consume(consumers.TOPICS, consumers.EVENT_TYPES, handler)
    letters = runtime.dead_letters(consumers.EVENT_TYPES, handler, Discards(runtime.clock).settle)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        storage = S3Options.of(settings, connections_max=max(32, settings.worker_slots))
        async with S3ObjectStore.connect(storage) as objects, http.opened():
            generation.add_work(objects)
            async with runtime.lifespan(app):
                yield
        drawing.shutdown(cancel_futures=True)

    app = runtime.http_app(lifespan=lifespan)
    tokens = InternalTokens(settings.internal_secret, runtime.clock)
    app.include_router(
        create_router(
            letters,
            require_principal(tokens.verifier(Service.GENERATION)),
            Webhooks(runtime.database, runtime.clock, webhook_secrets(os.environ)),
        )
    )
    return app


def _remote(settings: Settings, http: ProviderHttp) -> list[AnyProvider]:
    """Every provider that there is a key or a simulator for."""
    found = accesses(
        os.environ,
        settings.simulators_url,
        webhooks_url=settings.webhooks_url,
        result_hosts=settings.result_hosts,
    )
    changes = Changes(
        model_ids=settings.model_ids,
        costs_microusd=settings.costs_microusd,
        concurrency=settings.concurrency,
        per_minute=settings.per_minute,
    )
    return [
        DOORS[name].make(http, found[name], CATALOGUE[name].configured(changes)) for name in found
    ]


def _providers(*offered: AnyProvider) -> dict[str, AnyProvider]:
    return {each.capabilities.provider: each for each in offered}


class _Generation:
    """The use cases of one process, joined to its parts."""

    def __init__(
        self, settings: Settings, runtime: Runtime, providers: dict[str, AnyProvider]
    ) -> None:
        self._settings = settings
        self._runtime = runtime
        self._providers = providers
        self._capabilities = {name: each.capabilities for name, each in providers.items()}
        self._lease = timedelta(seconds=settings.lease_seconds)
        self._sweep_delay = timedelta(seconds=settings.sweep_delay_seconds)
        self._metrics = Metrics(runtime.registry)
        self._breakers = Breakers(runtime.database, runtime.clock)
        self._submissions = Submissions(runtime.database, providers, runtime.clock)
        self.requests = Requests(
            providers=self._capabilities,
            clock=runtime.clock,
            lease=self._lease,
            sweep_delay=self._sweep_delay,
        )

    async def offer_providers(self) -> None:
        """Tell the queue which providers there are, and what each bears."""
        async with self._runtime.database.transaction() as transaction:
            await queue.offer_providers(transaction.connection, self._capabilities.values())

    def add_work(self, objects: ObjectStore) -> None:
        """Add what runs beside the consumer. The worker comes last, hence stops first."""
        self._runtime.background("overdue", self._overdue().run)
        self._runtime.background("cancelling", self._cancelling().run)
        self._runtime.background("breakers", self._probing().run)
        self._runtime.background("sweeping", self._sweeping(objects).run)
        self._runtime.background("worker", self._worker(objects).run)

    def _worker(self, objects: ObjectStore) -> Worker:
        runtime = self._runtime
        emitter = Emitter(runtime.service.source, runtime.clock, runtime.ids)
        attempts = Attempts(
            database=runtime.database,
            emitter=emitter,
            wakeups=runtime.wakeups,
            providers=self._capabilities,
            clock=runtime.clock,
            ids=runtime.ids,
            random=runtime.random,
            metrics=self._metrics,
            breakers=self._breakers,
            lease=self._lease,
            sweep_delay=self._sweep_delay,
        )
        return Worker(
            name=self._settings.replica,
            attempts=attempts,
            execution=Execution(
                self._providers,
                Following(self._submissions, runtime.wakeups),
                objects,
                ByteBudget(self._settings.upload_budget_bytes),
                runtime.clock,
            ),
            progress=Progress(runtime.bus, emitter, runtime.clock),
            wakeups=runtime.wakeups,
            clock=runtime.clock,
            limits=Limits(
                slots=self._settings.worker_slots,
                lease_seconds=self._settings.lease_seconds,
                grace_seconds=self._settings.grace_seconds,
            ),
        )

    def _overdue(self) -> Timer:
        overdue = Overdue(
            database=self._runtime.database,
            providers=self._capabilities,
            clock=self._runtime.clock,
            metrics=self._metrics,
            sweep_delay=self._sweep_delay,
        )
        return self._timer(DUE_CHANNEL, overdue, self._settings.lease_seconds)

    def _cancelling(self) -> Timer:
        return self._timer(CANCEL_CHANNEL, self._submissions, self._settings.lease_seconds)

    def _probing(self) -> Timer:
        return self._timer(BREAKER_CHANNEL, self._breakers, self._settings.lease_seconds)

    def _sweeping(self, objects: ObjectStore) -> Timer:
        sweeping = Sweeping(
            database=self._runtime.database,
            objects=objects,
            clock=self._runtime.clock,
            metrics=self._metrics,
            sweep_delay=self._sweep_delay,
        )
        # At least a second: a delay of none is for tests.
        return self._timer(SWEEP_CHANNEL, sweeping, max(1.0, self._settings.sweep_delay_seconds))

    def _timer(self, channel: str, work: TimedWork, horizon_seconds: float) -> Timer:
        return Timer(
            channel=channel,
            work=work,
            wakeups=self._runtime.wakeups,
            clock=self._runtime.clock,
            horizon_seconds=horizon_seconds,
        )
