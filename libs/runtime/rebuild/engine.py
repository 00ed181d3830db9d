"""A rebuild from end to end: fill the shadow, catch up, compare, and on request take its place."""

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import cast

import asyncpg
import structlog
from msgspec import Struct

from libs.events.transport import Log, Partition
from libs.runtime.db import Connection
from libs.runtime.erasure import forget
from libs.runtime.faults import is_deterministic
from libs.runtime.rebuild import shadow
from libs.runtime.rebuild.compare import Comparison, compare
from libs.runtime.rebuild.fold import Cut, Fold, Pause, Targets, tuned_garbage_collector
from libs.runtime.rebuild.instant import Instant, snapshot, standstill
from libs.runtime.rebuild.projection import Projection, RebuildError

REPORT_SECONDS = 2.0
# What is left is folded while nothing stands still; after that it is little enough.
CATCH_UP_ROUNDS_MAX = 5
CATCH_UP_MESSAGES = 2_000
LOCK_WAIT_MS = 10_000

SESSION = {
    "timezone": "UTC",
    "jit": "off",
    "idle_in_transaction_session_timeout": "0",
    "statement_timeout": "0",
}
# A crash may forget the shadow, which is begun anew anyway.
SHADOW_SESSION = SESSION | {
    "synchronous_commit": "off",
    "enable_seqscan": "off",
    "maintenance_work_mem": "256MB",
}

_HUNG_UP = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # of a connection that is lost in the middle of something
    OSError,
)
WAITED_FOR = """
    SELECT EXISTS (
        SELECT FROM pg_locks
         WHERE locktype = 'advisory' AND NOT granted AND objsubid = 1
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
           AND ((classid::bigint << 32) | objid::bigint) = hashtextextended($1, 0))
"""
ALONE = "SELECT pg_advisory_lock(hashtextextended($1, 0))"

logger = structlog.get_logger(__name__)

Report = Callable[[str], None]


class Until(Struct, frozen=True):
    """Where to stop: at a time (per account, at its first later event), at positions, or both."""

    moment: datetime | None = None
    positions: Mapping[tuple[str, int], int] = {}  # (topic, partition) -> offset, not included


class Outcome(Struct, frozen=True, kw_only=True):
    """What a rebuild has found and done."""

    service: str
    shadow: str
    messages: int
    seconds: float
    tables: tuple[Comparison, ...] = ()
    is_swapped: bool = False
    adopted_rows: int = 0
    is_kept: bool = False  # the shadow is there to be looked at

    @property
    def is_equal(self) -> bool:
        return all(each.is_equal for each in self.tables)


class Rebuild:
    """`async with Rebuild.open(...) as rebuild`: one projection, with its shadow to itself."""

    def __init__(
        self,
        projection: Projection,
        log: Log,
        *,
        live: Connection,
        guard: Connection,
        draft: Connection,
        report: Report,
    ) -> None:
        self._projection = projection
        self._log = log
        self._live, self._guard, self._draft = live, guard, draft
        self._report = report
        self._fold = Fold(projection, log, heard=self._heard)
        self._began = self._reported_at = time.monotonic()
        self._messages = self._wanted = self._messages_reported = 0

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        projection: Projection,
        *,
        dsn: str,
        log: Log,
        report: Report = lambda _: None,
        is_patient: bool = True,
    ) -> AsyncIterator["Rebuild"]:
        """Connect as the service's own role, and keep every other rebuild of it away.

        A patient one waits for a while until another has ended or made way.

        Raises:
            RebuildError: another one is at work.
            OSError, asyncpg.PostgresError: the database cannot be reached.
        """
        service = projection.service.value
        application = {"application_name": f"daygen-rebuild-{service}"}
        live_settings = SESSION | application | {"search_path": service}
        draft_settings = SHADOW_SESSION | application | {"search_path": projection.shadow}
        async with (
            _connected(dsn, live_settings) as live,
            _connected(dsn, live_settings) as guard,
            _connected(dsn, draft_settings) as draft,
        ):
            await _hold_alone(draft, service, is_patient=is_patient)
            try:
                yield cls(projection, log, live=live, guard=guard, draft=draft, report=report)
            except _HUNG_UP as error:
                if any(each.is_closed() for each in (live, guard, draft)):
                    raise RebuildError(
                        f"The database hung up while {service} was rebuilt, and nothing live has "
                        "changed: try again."
                    ) from error
                raise

    async def run(
        self,
        *,
        until: Until | None = None,
        swap: bool = False,
        accept_differences: bool = False,
    ) -> Outcome:
        """Fill and compare; with `swap` put it into place if it is equal, or accepted as it is.

        With `until` only fill, up to there, and leave it to be looked at.

        Raises:
            RebuildError: it cannot be done. Nothing live has changed.
        """
        try:
            with tuned_garbage_collector():
                await self.fill(until)
                if until is not None:
                    return self._outcome(is_kept=True)
                tables = await self.compare()
        except Exception as error:
            if not is_deterministic(error):
                raise
            raise RebuildError(
                f"The streams do not fit the tables of {self._projection.service.value}, and "
                f"trying again would not help: {type(error).__name__}: {error}"
            ) from error
        if not swap or not (accept_differences or all(each.is_equal for each in tables)):
            is_kept = not all(each.is_equal for each in tables)
            if not is_kept:
                await shadow.clear(self._draft, self._projection.shadow)
            return self._outcome(tables=tables, is_kept=is_kept)
        adopted_rows = await self.swap()
        if self._projection.adopt is not None:
            tables = await self.compare()  # what is not taken over differs still
        await shadow.clear(self._draft, self._projection.shadow)
        is_swapped = self._projection.adopt is None
        return self._outcome(tables=tables, is_swapped=is_swapped, adopted_rows=adopted_rows)

    def in_the_background(self, pause: Pause, *, records_max: int) -> None:
        """Work in small batches, with a pause after each."""
        self._fold = Fold(
            self._projection,
            self._log,
            heard=self._heard,
            pause=pause,
            records_max=records_max,
        )

    async def is_waited_for(self) -> bool:
        """Whether somebody else wants to rebuild the same."""
        name = _lock_name(self._projection.service.value)
        return bool(await self._guard.fetchval(WAITED_FOR, name))

    async def fill(self, until: Until | None = None) -> None:
        """Make the shadow and fold into it all that the live tables have seen by now, or less."""
        projection, draft = self._projection, self._draft
        await shadow.create(draft, projection)
        instant = Instant(projection, self._live, self._log)
        await instant.look(projection.topics)
        self._fold.aside = await instant.aside()
        self._fold.erased = await instant.erased()
        if until is not None and until.moment is not None:
            self._fold.cut = Cut(until.moment)
        targets = [
            _bounded(instant.targets(each.reach, _names(each.topics)), until)
            for each in projection.passes
        ]
        self._wanted = sum(sum(each.values()) for each in targets)
        self._report(f"{self._wanted:,} messages to fold into {projection.shadow}")
        has_loader = projection.passes[0].loader is not None
        if has_loader:
            bare = await shadow.strip(draft, projection.tables)
            await self._fold.load(draft, 0, targets[0])
            self._report("building indexes")
            await shadow.dress(draft, projection.tables, bare)
        others = range(int(has_loader), len(projection.passes))
        if has_loader and others:
            await shadow.analyze(draft, projection.tables)  # what follows looks for these rows
        for number in others:
            await self._fold.apply(draft, number, targets[number])

    async def compare(self) -> tuple[Comparison, ...]:
        """Catch up with one instant of the live tables, and compare each with the shadow's."""
        await self._come_near()
        projection = self._projection
        async with snapshot(projection, self._live, self._guard, self._log) as instant:
            await self._catch_up(instant)
            await self._draft.execute("SET enable_seqscan = on")
            found = [await compare(self._live, self._draft, each) for each in projection.tables]
            await self._draft.execute("SET enable_seqscan = off")
        return tuple(found)

    async def swap(self) -> int:
        """Put the shadow in the live tables' place, in one transaction; answers rows taken over.

        Where the tables hold more than the projection, only what differs is taken over, by row.
        """
        projection = self._projection
        await self._come_near()
        await shadow.analyze(self._draft, projection.tables)
        began = time.monotonic()
        async with standstill(projection, self._live, self._log) as instant:
            await self._catch_up(instant)
            if projection.adopt is None:
                await shadow.move_into_place(self._live, projection)
                rows = 0
            else:
                rows = await projection.adopt(self._live, projection.shadow)
        self._report(f"the live tables stood still for {time.monotonic() - began:.3f} s")
        return rows

    async def _come_near(self) -> None:
        """Fold what has come meanwhile, until it is little."""
        for _ in range(CATCH_UP_ROUNDS_MAX):
            instant = Instant(self._projection, self._live, self._log)
            await instant.look(self._projection.topics)
            if await self._catch_up(instant) <= CATCH_UP_MESSAGES:
                return

    async def _catch_up(self, instant: Instant) -> int:
        """Fold exactly up to an instant."""
        if await instant.erased() != self._fold.erased:
            raise RebuildError(
                "A person was erased meanwhile, and the shadow may hold words of theirs: try again."
            )
        await self._settle_aside(instant)
        count = 0
        for number, each in enumerate(self._projection.passes):
            targets = instant.targets(each.reach, _names(each.topics))
            self._wanted += self._fold.unfolded(number, targets)
            count += await self._fold.apply(self._draft, number, targets)
        return count

    async def _settle_aside(self, instant: Instant) -> None:
        """What was parked when we came by, and has been redriven since, is applied after all."""
        before, self._fold.aside = self._fold.aside, await instant.aside()
        for encoded in await instant.redriven(before):
            projection = self._projection
            event = projection.registry.decode(encoded)
            (event,) = forget([event], self._fold.erased, projection.forget)
            for each in projection.passes:
                if event.data.event_type in each.types:
                    async with self._draft.transaction():
                        await each.apply(self._draft, [event])

    def _heard(self, messages: int) -> None:
        self._messages += messages
        now = time.monotonic()
        if now - self._reported_at >= REPORT_SECONDS:
            rate = (self._messages - self._messages_reported) / (now - self._reported_at)
            self._report(f"{self._messages:,} of {self._wanted:,} messages, {rate:,.0f}/s")
            self._reported_at, self._messages_reported = now, self._messages

    def _outcome(
        self,
        *,
        tables: tuple[Comparison, ...] = (),
        is_swapped: bool = False,
        adopted_rows: int = 0,
        is_kept: bool = False,
    ) -> Outcome:
        return Outcome(
            service=self._projection.service.value,
            shadow=self._projection.shadow,
            messages=self._messages,
            seconds=time.monotonic() - self._began,
            tables=tables,
            is_swapped=is_swapped,
            adopted_rows=adopted_rows,
            is_kept=is_kept,
        )


@asynccontextmanager
async def _connected(dsn: str, settings: Mapping[str, str]) -> AsyncIterator[Connection]:
    """A connection of our own, whose session ends with it, however that comes."""
    connection = await asyncpg.connect(dsn, server_settings=dict(settings))
    try:
        yield cast("Connection", connection)
    except BaseException:
        connection.terminate()
        raise
    await connection.close()


async def _hold_alone(connection: Connection, service: str, *, is_patient: bool) -> None:
    """Hold the service's shadow for as long as the connection lives."""
    await connection.execute(f"SET lock_timeout = {LOCK_WAIT_MS if is_patient else 1}")
    try:
        await connection.execute(ALONE, _lock_name(service))
    except asyncpg.LockNotAvailableError as error:
        raise RebuildError(
            f"Another rebuild of {service} is at work: wait until it has ended."
        ) from error
    await connection.execute("SET lock_timeout = 0")


def _lock_name(service: str) -> str:
    return f"daygen.rebuild.{service}"


def _names(topics: Sequence[object]) -> list[str]:
    return [str(topic) for topic in topics]


def _bounded(targets: Targets, until: Until | None) -> Targets:
    """Targets that go no further than asked.

    Raises:
        RebuildError: a position is asked for that is not there.
    """
    if until is None or not until.positions:
        return targets
    bounded = dict(targets)
    for (topic, number), offset in until.positions.items():
        partition = _find(targets, topic, number)
        if partition is None:
            continue
        if offset > targets[partition]:
            raise RebuildError(
                f"{topic}/{number} has gone into the live tables up to {targets[partition]}: give "
                "that position or an earlier one."
            )
        bounded[partition] = offset
    return bounded


def _find(targets: Targets, topic: str, number: int) -> Partition | None:
    return next((each for each in targets if (each.topic, each.partition) == (topic, number)), None)
