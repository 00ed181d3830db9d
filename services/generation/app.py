"""Generation's composition root: settings -> runtime, storage, providers -> consumer, worker."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from fastapi import FastAPI

from libs.events.names import Service
from libs.runtime.auth import InternalTokens, require_principal
from libs.runtime.emitter import Emitter
from libs.runtime.objects import ObjectStore
from libs.runtime.objects_s3 import S3ObjectStore, S3Options
from libs.runtime.service import Parts, Runtime
from libs.runtime.timer import TimedWork, Timer
from services.generation import consumers
from services.generation.adapters.local import LocalProvider, drawing_threads
from services.generation.api import create_router
from services.generation.handlers.attempts import Attempts
from services.generation.handlers.discards import Discards
from services.generation.handlers.execution import Execution
from services.generation.handlers.metrics import Metrics
from services.generation.handlers.overdue import Overdue
from services.generation.handlers.progress import Progress
from services.generation.handlers.requests import DUE_CHANNEL, Requests
from services.generation.handlers.sweeping import SWEEP_CHANNEL, Sweeping
from services.generation.ports import Provider
from services.generation.settings import Settings
from services.generation.store import queue
from services.generation.worker import Limits, Worker

MIGRATIONS = Path(__file__).parent / "migrations"


def create_app(settings: Settings | None = None, parts: Parts | None = None) -> FastAPI:
    settings = settings or Settings.load()
    runtime = Runtime(Service.GENERATION, settings, parts, migrations=MIGRATIONS)
    drawing = drawing_threads()
    providers = _providers(LocalProvider(drawing))
    generation = _Generation(settings, runtime, providers)
    runtime.before_serving(generation.offer_providers)
    handler = consumers.take_in(generation.requests)
    runtime.consume(consumers.TOPICS, consumers.EVENT_TYPES, handler)
    letters = runtime.dead_letters(consumers.EVENT_TYPES, handler, Discards(runtime.clock).settle)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        storage = S3Options.of(settings, connections_max=max(32, settings.worker_slots))
        async with S3ObjectStore.connect(storage) as objects:
            generation.add_work(objects)
            async with runtime.lifespan(app):
                yield
        drawing.shutdown(cancel_futures=True)

    app = runtime.http_app(lifespan=lifespan)
    tokens = InternalTokens(settings.internal_secret, runtime.clock)
    app.include_router(
        create_router(letters, require_principal(tokens.verifier(Service.GENERATION)))
    )
    return app


def _providers(*offered: Provider) -> dict[str, Provider]:
    return {each.capabilities.provider: each for each in offered}


class _Generation:
    """The use cases of one process, joined to its parts."""

    def __init__(
        self, settings: Settings, runtime: Runtime, providers: dict[str, Provider]
    ) -> None:
        self._settings = settings
        self._runtime = runtime
        self._providers = providers
        self._capabilities = {name: each.capabilities for name, each in providers.items()}
        self._lease = timedelta(seconds=settings.lease_seconds)
        self._sweep_delay = timedelta(seconds=settings.sweep_delay_seconds)
        self._metrics = Metrics(runtime.registry)
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
            lease=self._lease,
            sweep_delay=self._sweep_delay,
        )
        return Worker(
            name=self._settings.replica,
            attempts=attempts,
            execution=Execution(self._providers, objects, runtime.clock),
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
