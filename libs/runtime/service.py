"""A running service: its parts in order of start, its background work, and its graceful end."""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random, SystemRandom

import asyncpg
import structlog
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from libs.events.bus import KafkaBus
from libs.events.erasure import without_person
from libs.events.names import EventType, Service, Topic
from libs.events.registry import REGISTRY, Registry
from libs.events.transport import Bus
from libs.runtime.backlog import Backlog, BacklogMetrics
from libs.runtime.clock import Clock, SystemClock
from libs.runtime.consumer import RECORDS_MAX, Consumer, Handler
from libs.runtime.db import PLANNED_ONCE, Database
from libs.runtime.deadletters import DeadLetters, Settle
from libs.runtime.emitter import Emitter
from libs.runtime.erasure import Blanking, Forget
from libs.runtime.errors import Unavailable
from libs.runtime.faults import Backoff
from libs.runtime.gathering import AT_ONCE, Patience
from libs.runtime.http import HttpOptions, create_http_app
from libs.runtime.http.app import Lifespan
from libs.runtime.ids import Ids, SystemIds
from libs.runtime.intake import Reader
from libs.runtime.metrics import StreamMetrics
from libs.runtime.migrate import RUNTIME_MIGRATIONS, migrate
from libs.runtime.rebuild.projection import Projection
from libs.runtime.recovery import History, Recovery
from libs.runtime.redriving import Redriving
from libs.runtime.relay import Relay
from libs.runtime.settings import ServiceSettings
from libs.runtime.telemetry import configure_logging
from libs.runtime.verifier import Verifier, VerifyMetrics
from libs.runtime.wakeups import Wakeups
from libs.runtime.watchdog import Watchdog

# Finding 3 of the measurements: with the default thresholds the collector costs more than decoding
# does.
GC_THRESHOLDS = (100_000, 50, 100)

logger = structlog.get_logger(__name__)


class HistoryUnread(Unavailable):
    """The service does not know yet what it has said: see `libs/runtime/recovery.py`."""

    code = "history_unread"


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a service takes from outside: replaced by tests and simulators."""

    clock: Clock
    random: Random
    ids: Ids
    bus: Bus

    @classmethod
    def real(cls, service: Service, settings: ServiceSettings) -> "Parts":
        """The machine's clock and randomness, and Kafka."""
        clock, random = SystemClock(), SystemRandom()
        bus = KafkaBus(
            settings.kafka_bootstrap,
            client_id=f"daygen-{service.value}-{settings.replica}",
            member=settings.stable_replica,
        )
        return cls(clock=clock, random=random, ids=SystemIds(clock, random), bus=bus)


class Runtime:
    """What every service has: database, outbox relay, wake-ups, consumers, background work."""

    def __init__(
        self, service: Service, settings: ServiceSettings, parts: Parts | None, *, migrations: Path
    ) -> None:
        if parts is None:  # a process of its own, not one of several services in a test
            configure_logging(service.value, settings.log_level)
            parts = Parts.real(service, settings)
        self.service = service
        self.clock, self.random, self.ids, self.bus = (
            parts.clock,
            parts.random,
            parts.ids,
            parts.bus,
        )
        self.registry = CollectorRegistry()
        self.metrics = StreamMetrics(self.registry)
        self._settings = settings.describe()
        self._dsn = settings.database_dsn.get_secret_value()
        self._migrations = migrations
        self.wakeups = Wakeups(
            self._dsn, schema=service.value, process_id=self.ids.new(), clock=self.clock
        )
        self._pools: list[Database] = []
        self.database = self.pool(settings.database_pool_size)
        self.relay = Relay(
            replica=settings.replica,
            database=self.database,
            bus=self.bus,
            wakeups=self.wakeups,
            clock=self.clock,
            random=self.random,
            metrics=self.metrics,
        )
        self._recovery: Recovery | None = None
        self._recovered = asyncio.Event()
        self._work: list[tuple[str, Callable[[], Awaitable[None]]]] = [
            ("wakeups", self.wakeups.run),
            ("relay", self.relay.run),
        ]
        self._stuck_seconds = settings.stuck_seconds
        self._verify_metrics = VerifyMetrics(self.registry, self.clock)
        self._verify_interval_seconds = settings.verify_interval_seconds
        self._watchdogs: list[Watchdog] = []
        backlog = Backlog(
            database=self.database, clock=self.clock, metrics=BacklogMetrics(self.registry)
        )
        self.background("backlog", backlog.run)
        blanking = Blanking(database=self.database, wakeups=self.wakeups, clock=self.clock)
        self.background("blanking", blanking.run)
        self._before: list[Callable[[], Awaitable[None]]] = []

    def pool(self, size: int, *, plans: str = PLANNED_ONCE) -> Database:
        """Connections of its own for one kind of work: the others are never waited for by it."""
        database = Database(
            self._dsn,
            schema=self.service.value,
            pool_size=size,
            emitter=Emitter(self.service.source, self.clock, self.ids),
            wakeups=self.wakeups,
            plans=plans,
        )
        self._pools.append(database)
        return database

    def remember(self, history: History) -> None:
        """How the service learns what it has said, if its schema does not know: before all else."""
        self._recovery = Recovery(
            service=self.service,
            history=history,
            dsn=self._dsn,
            database=self.database,
            bus=self.bus,
            clock=self.clock,
            random=self.random,
        )

    def consume(
        self,
        topics: Collection[Topic],
        types: Collection[EventType],
        handler: Handler,
        *,
        group: str | None = None,
        database: Database | None = None,
        registry: Registry = REGISTRY,
        reader: type[Reader] = Reader,
        records_max: int = RECORDS_MAX,
        pace_seconds: float = 0.0,
        patience: Patience = AT_ONCE,
        forget: Forget = without_person,
    ) -> Consumer:
        """Apply the given event types of the given topics to this service's tables.

        `records_max` bounds a batch, and so how long it holds the locks that others wait for.
        `pace_seconds` is the shortest time between two batches: for a consumer that nobody waits
        for so short a time, and that leaves the processor to those who are waited for. `patience`
        is for single types that nobody waits for. `forget` is what the handler sees of events of
        whoever is erased. A second consumer has a `group`, and best a pool, of its own; `registry`
        and `reader` say what of the topics it sees, and how.
        """
        consumer = Consumer(
            name=group or self.service.consumer_group,
            topics=topics,
            types=types,
            handler=handler,
            database=database or self.database,
            bus=self.bus,
            clock=self.clock,
            ids=self.ids,
            random=self.random,
            metrics=self.metrics,
            registry=registry,
            reader=reader,
            records_max=records_max,
            pace_seconds=pace_seconds,
            patience=patience,
            forget=forget,
        )
        watchdog = Watchdog(
            consumer,
            is_database_ready=self.is_database_ready,
            clock=self.clock,
            stuck_seconds=self._stuck_seconds,
        )
        self._watchdogs.append(watchdog)
        self.background("watchdog", watchdog.run)
        self.background("consumer", consumer.run)
        return consumer

    def dead_letters(
        self, types: Collection[EventType], handler: Handler, settle: Settle
    ) -> DeadLetters:
        """What `consume` has parked; `settle` finishes, or refuses, what is discarded.

        What was too new for the release that parked it is redriven without being asked.
        """
        letters = DeadLetters(
            types=types,
            handler=handler,
            settle=settle,
            database=self.database,
            clock=self.clock,
        )
        redriving = Redriving(
            letters, service=self.service, database=self.database, clock=self.clock
        )
        self.background("redriving", redriving.run)
        return letters

    def verify(self, projection: Projection) -> Verifier:
        """Compare a projection with its streams from time to time, if the settings want it."""
        verifier = Verifier(
            projection,
            dsn=self._dsn,
            bus=self.bus,
            clock=self.clock,
            random=self.random,
            metrics=self._verify_metrics,
            interval_seconds=self._verify_interval_seconds,
        )
        if self._verify_interval_seconds:
            self.background("verifier", verifier.run)
        return verifier

    def background(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run work beside the requests; cancelled at the end, started again if it fails."""
        self._work.append((name, work))

    def before_serving(self, step: Callable[[], Awaitable[None]]) -> None:
        """Run a step once the database is migrated and before anything else starts."""
        self._before.append(step)

    def http_app(
        self, *, lifespan: Lifespan | None = None, options: HttpOptions | None = None
    ) -> FastAPI:
        """The service's HTTP application, without its routes.

        `lifespan` is for what has to be open around this one's own; it enters that itself.
        """
        return create_http_app(
            self.service,
            clock=self.clock,
            ids=self.ids,
            random=self.random,
            registry=self.registry,
            # Nothing else is asked for: whatever else is away, a service does its part without.
            checks={"database": self.is_database_ready, "history": self._is_recovered},
            why_not_live=self.why_not_live,
            why_closed=self.why_closed,
            lifespan=lifespan or self.lifespan,
            options=options,
        )

    def why_not_live(self) -> str | None:
        """Why this process should be started again; None as long as that would not help."""
        return next((reason for each in self._watchdogs if (reason := each.verdict)), None)

    def why_closed(self) -> str | None:
        """Why nothing is served yet; None once the service knows what it has said."""
        if self._recovered.is_set():
            return None
        trouble = self._recovery and self._recovery.trouble
        why = f" It cannot yet: {trouble}" if trouble else ""
        return f"The {self.service.value} service is reading its history: try again later.{why}"

    async def _is_recovered(self) -> None:
        """Raises until the service knows what it has said."""
        if reason := self.why_closed():
            raise HistoryUnread(reason)

    async def is_database_ready(self) -> None:
        """Raises when the database does not answer."""
        async with self.database.read() as connection:
            await connection.execute("SELECT 1")

    @asynccontextmanager
    async def lifespan(self, _app: FastAPI) -> AsyncIterator[None]:
        """Start, serve, stop: the lifespan of the service's HTTP application."""
        logger.info("service_starting", service=self.service.value, settings=self._settings)
        await self._open_database()
        for step in self._before:
            await step()
        tasks = [
            asyncio.create_task(self._recover(), name="recovery"),
            *(
                asyncio.create_task(self._keep_running(name, work), name=name)
                for name, work in self._work
            ),
        ]
        tune_garbage_collector()
        logger.info("service_started", service=self.service.value)
        try:
            yield
        finally:
            # Last started, first stopped: whoever feeds on the others goes before them.
            for task in reversed(tasks):
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            await self.bus.close()
            for pool in self._pools:
                await pool.close()
            logger.info("service_stopped", service=self.service.value)

    async def _open_database(self) -> None:
        """Connect and migrate; a database that is not there yet is waited for."""
        backoff = Backoff(first_seconds=0.1, most_seconds=2.0)
        while True:
            try:
                await self._migrate()
                for pool in self._pools:
                    await pool.open()
            except (
                OSError,
                TimeoutError,
                asyncpg.PostgresConnectionError,
                asyncpg.CannotConnectNowError,
            ) as error:
                logger.warning("database_not_reached", error=str(error))
                await self.clock.sleep(backoff.next_seconds(self.random.random()))
            else:
                return

    async def _migrate(self) -> None:
        connection = await asyncpg.connect(self._dsn, timeout=10)
        try:
            await migrate(connection, self.service.value, [RUNTIME_MIGRATIONS, self._migrations])
        finally:
            await connection.close()

    async def _recover(self) -> None:
        if self._recovery is not None:
            await self._recovery.run()
        self._recovered.set()

    async def _keep_running(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        await self._recovered.wait()
        backoff = Backoff(first_seconds=0.2, most_seconds=10.0)
        while True:
            try:
                await work()
            except Exception:  # background work must not die quietly
                logger.exception("background_work_failed", work=name)
            await self.clock.sleep(backoff.next_seconds(self.random.random()))


def tune_garbage_collector() -> None:
    """Once everything is loaded that lives as long as the process."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
