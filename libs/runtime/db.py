"""The service's own Postgres: a pool, and transactions that carry events and wake-ups with them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias
from uuid import UUID

import asyncpg
import structlog
from asyncpg import Record
from asyncpg.pool import PoolConnectionProxy

from libs.events.envelope import Event
from libs.events.payload import Payload
from libs.runtime.emitter import Emitter, PayloadT
from libs.runtime.errors import Unavailable
from libs.runtime.outbox import RELAY_CHANNEL, OutboxRow, append, row_of
from libs.runtime.wakeups import Wakeups

Connection: TypeAlias = "PoolConnectionProxy[Record]"

COMMAND_TIMEOUT_SECONDS = 60.0
CONNECT_TIMEOUT_SECONDS = 10.0
# For one of the pool's connections: longer than any burst needs that the service can still serve.
ACQUIRE_TIMEOUT_SECONDS = 30.0
# A process that stands still in a transaction, or whose machine is gone, holds its locks no longer.
STALLED_SECONDS = 30.0

PLANNED_ONCE = "force_generic_plan"
PLANNED_BY_VALUE = "auto"  # for statements whose best plan depends on what is asked for

# Our statements are written for index scans on tables that grow. A statement prepared while its
# table was still empty would keep a sequential plan for the life of its connection; and compiling
# plans costs more than our short ones run. So does planning them: Postgres takes the plan for
# arrays that it does not know for dear, and would make another one for every few rows.
SESSION = {"enable_seqscan": "off", "jit": "off", "timezone": "UTC"}

_HUNG_UP = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.IdleInTransactionSessionTimeoutError,
)
_NOT_REACHED = (
    *_HUNG_UP,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InterfaceError,  # the pool is closing, or was never opened
    OSError,
    TimeoutError,
)

logger = structlog.get_logger(__name__)


class DatabaseUnavailable(Unavailable):
    """Postgres cannot be reached, or hung up before anything was committed."""

    code = "database_unavailable"

    def __init__(self) -> None:
        super().__init__("The database does not answer: try again in a moment.")


async def _keep_session(_connection: object) -> None:
    """Take a connection back as it is: nothing of ours changes a session, and a reset is a trip."""


class Transaction:
    """One database transaction: rows, events and wake-ups become visible together or not at all."""

    def __init__(self, connection: Connection, emitter: Emitter) -> None:
        self.connection = connection
        self._emitter = emitter
        self._outbox: list[OutboxRow] = []
        self._wakes: list[tuple[str, str]] = []
        self._after_commit: list[Callable[[], None]] = []
        self.erased: dict[UUID, bool] = {}  # whom this transaction has asked about, and locked

    def publish(
        self,
        data: PayloadT,
        *,
        cause: Event[Payload] | None = None,
        correlation_id: UUID | None = None,
        causation_id: UUID | None = None,
        traceparent: str | None = None,
    ) -> Event[PayloadT]:
        """Queue an event for the outbox: an answer to `cause`, or the root of a new chain.

        `causation_id` is for an answer to what cannot be read further than its envelope.

        Raises:
            EventTooLargeError: no topic would take it.
        """
        event = self._emitter.event(
            data,
            cause=cause,
            correlation_id=correlation_id,
            causation_id=causation_id,
            traceparent=traceparent,
        )
        self._outbox.append(row_of(event))
        return event

    def send(self, row: OutboxRow) -> None:
        """Queue a raw message for the outbox."""
        self._outbox.append(row)

    def wake(self, channel: str, key: str = "") -> None:
        """After the commit, wake the listeners of a channel, here and in the other processes."""
        self._wakes.append((channel, key))

    def after_commit(self, action: Callable[[], None]) -> None:
        """Run an action of this process once the transaction has committed."""
        self._after_commit.append(action)

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """A part of the transaction that can fail alone, its events and wake-ups with it."""
        marks = len(self._outbox), len(self._wakes), len(self._after_commit)
        erased = dict(self.erased)
        try:
            async with self.connection.transaction():
                yield
        except BaseException:
            for queue, mark in zip(
                (self._outbox, self._wakes, self._after_commit), marks, strict=True
            ):
                del queue[mark:]  # type: ignore[attr-defined]
            self.erased = erased
            raise

    async def flush(self) -> None:
        """Write the queued events: the last statement, because it takes the locks of their keys."""
        if rows := self.take_outbox():
            await append(self.connection, rows)

    def take_outbox(self) -> list[OutboxRow]:
        """The queued events, for a last statement that writes them together with something else."""
        rows, self._outbox = self._outbox, []
        if rows:
            self.wake(RELAY_CHANNEL)
        return rows

    def committed(self, wakeups: Wakeups) -> None:
        """Tell everybody who waits for what this transaction has changed."""
        for channel, key in dict.fromkeys(self._wakes):
            wakeups.wake(channel, key)
        for action in self._after_commit:
            action()


class Database:
    """A service's schema, reached through a pool of connections under the service's own role."""

    def __init__(
        self,
        dsn: str,
        *,
        schema: str,
        pool_size: int,
        emitter: Emitter,
        wakeups: Wakeups,
        plans: str = PLANNED_ONCE,
    ) -> None:
        self._dsn = dsn
        self._schema = schema
        self._pool_size = pool_size
        self._emitter = emitter
        self._wakeups = wakeups
        self._plans = plans
        self._pool: asyncpg.Pool[Record] | None = None

    async def open(self) -> None:
        """Connect, unless it is connected.

        Raises:
            OSError, asyncpg.PostgresError: the database cannot be reached.
        """
        if self._pool is not None:
            return
        self._pool = await asyncpg.create_pool(
            self._dsn,
            min_size=2,
            max_size=self._pool_size,
            command_timeout=COMMAND_TIMEOUT_SECONDS,
            timeout=CONNECT_TIMEOUT_SECONDS,
            reset=_keep_session,
            server_settings={
                "search_path": self._schema,
                "application_name": f"daygen-{self._schema}",
                "idle_in_transaction_session_timeout": str(round(STALLED_SECONDS * 1000)),
                **SESSION,
                "plan_cache_mode": self._plans,
            },
        )

    async def close(self) -> None:
        """Give all connections back."""
        if self._pool is not None:
            pool, self._pool = self._pool, None
            await pool.close()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Connection]:
        """A connection outside any transaction, for reading.

        Raises:
            DatabaseUnavailable: there is none, or it was lost.
        """
        async with self._acquired() as connection:
            try:
                yield connection
            except Exception as error:
                if not _is_lost(connection, error):
                    raise
                raise _unavailable(error) from error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """A transaction: committed at the end of the block, rolled back when it raises.

        Raises:
            DatabaseUnavailable: there is no connection, or it was lost before the commit.
            asyncpg.PostgresConnectionError: it was lost in the commit, which may have happened.
        """
        async with self._acquired() as connection:
            transaction = Transaction(connection, self._emitter)
            is_committing = False
            try:
                async with connection.transaction():
                    yield transaction
                    await transaction.flush()
                    is_committing = True
            except Exception as error:
                if is_committing or not _is_lost(connection, error):
                    raise
                raise _unavailable(error) from error
            # Nothing is awaited in between: a task cancelled from here on has told what it did.
            transaction.committed(self._wakeups)

    @asynccontextmanager
    async def statement(self) -> AsyncIterator[Transaction]:
        """A transaction of one statement, which begins and commits it: no trips for these.

        The statement itself writes what is published (`Transaction.take_outbox`).

        Raises:
            DatabaseUnavailable: there is no connection.
            asyncpg.PostgresConnectionError: it was lost in the statement, which may have happened.
        """
        async with self._acquired() as connection:
            transaction = Transaction(connection, self._emitter)
            yield transaction
            transaction.committed(self._wakeups)

    @asynccontextmanager
    async def _acquired(self) -> AsyncIterator[Connection]:
        try:
            pool = self._connected()
            async with asyncio.timeout(ACQUIRE_TIMEOUT_SECONDS):
                connection = await pool.acquire()
        except _NOT_REACHED as error:
            raise _unavailable(error) from error
        try:
            yield connection
        finally:
            await pool.release(connection)

    def _connected(self) -> "asyncpg.Pool[Record]":
        if self._pool is None:
            raise asyncpg.InterfaceError("the database is not open")
        return self._pool


def _is_lost(connection: Connection, error: Exception) -> bool:
    if not isinstance(error, asyncpg.InterfaceError):
        return isinstance(error, _HUNG_UP)
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:  # the pool takes back by itself what is closed
        return True


def _unavailable(error: Exception) -> DatabaseUnavailable:
    logger.warning("database_unavailable", error=repr(error))
    return DatabaseUnavailable()
