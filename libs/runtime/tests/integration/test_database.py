"""Transactions whose process stands still or is cancelled at the worst moment."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import asyncpg
import pytest

from libs.runtime import db
from libs.runtime.db import Database, DatabaseUnavailable
from libs.runtime.testing import Passage, Streams

LOCK = "SELECT FROM applied FOR UPDATE"
ADD = "INSERT INTO applied (event_id) VALUES (gen_random_uuid())"


async def test_a_process_that_stands_still_does_not_hold_its_locks_for_ever(
    streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "STALLED_SECONDS", 0.3)
    stalled = Database(
        streams.dsn,
        schema=streams.service.value,
        pool_size=2,
        emitter=streams.emitter,
        wakeups=streams.wakeups,
    )
    await stalled.open()
    async with streams.database.read() as connection:
        await connection.execute(ADD)

    async def stand_still() -> None:
        async with stalled.transaction() as transaction:
            await transaction.connection.execute(LOCK)
            async with asyncio.timeout(60), streams.database.transaction() as other:
                await other.connection.execute(LOCK)
            await transaction.connection.execute(LOCK)

    with pytest.raises(DatabaseUnavailable):
        await stand_still()
    async with stalled.read() as connection:
        assert await connection.fetchval("SELECT 1") == 1
    await stalled.close()


async def test_a_commit_is_told_of_although_its_task_is_cancelled_right_behind_it(
    streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = asyncpg.Pool.release

    async def release_and_cancel(pool: Any, connection: Any) -> None:
        await release(pool, connection)
        raise asyncio.CancelledError

    with streams.wakeups.listen("feed", "ann") as ann:
        with monkeypatch.context() as patch, suppress(asyncio.CancelledError):
            patch.setattr(asyncpg.Pool, "release", release_and_cancel)
            async with streams.database.transaction() as transaction:
                transaction.wake("feed", "ann")
        assert await ann.wait(0)


async def test_a_connection_comes_back_clean_although_its_rollback_was_cancelled(
    streams: Streams,
) -> None:
    async def slow() -> None:
        async with streams.database.transaction() as transaction:
            await transaction.connection.execute("SELECT pg_sleep(5)")

    for _ in range(16):
        task = asyncio.create_task(slow())
        await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()  # in the middle of the rollback
        with suppress(asyncio.CancelledError):
            await task
    async with asyncio.timeout(60):
        for _ in range(16):
            async with streams.database.transaction() as transaction:
                assert await transaction.connection.fetchval("SELECT 1") == 1
    async with streams.database.read() as connection:
        stuck = await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND state LIKE 'idle in transaction%'"
        )
    assert stuck == 0


@asynccontextmanager
async def reached_by(passage: Passage, streams: Streams) -> AsyncIterator[Database]:
    await passage.open()
    database = Database(
        passage.dsn,
        schema=streams.service.value,
        pool_size=2,
        emitter=streams.emitter,
        wakeups=streams.wakeups,
    )
    await database.open()
    try:
        yield database
    finally:
        await database.close()
        await passage.close()


async def test_a_database_that_is_away_is_an_outage_and_comes_back(streams: Streams) -> None:
    passage = Passage(streams.dsn)
    async with reached_by(passage, streams) as database:
        await passage.close()
        for _ in range(2):  # with what the pool had, and without
            with pytest.raises(DatabaseUnavailable):
                async with database.read() as connection:
                    await connection.execute("SELECT 1")
            with pytest.raises(DatabaseUnavailable):
                async with database.transaction() as transaction:
                    await transaction.connection.execute("SELECT 1")
        await passage.open()
        async with database.read() as connection:
            assert await connection.fetchval("SELECT 1") == 1


async def test_a_transaction_that_loses_its_database_is_an_outage(streams: Streams) -> None:
    passage = Passage(streams.dsn)
    async with reached_by(passage, streams) as database:

        async def lose() -> None:
            async with database.transaction() as transaction:
                await transaction.connection.execute(ADD)
                await passage.close()
                await transaction.connection.execute(ADD)

        with pytest.raises(DatabaseUnavailable):
            await lose()
        await passage.open()
    async with streams.database.read() as connection:
        assert await connection.fetchval("SELECT count(*) FROM applied") == 0


async def test_a_commit_that_was_not_answered_is_no_mere_outage(streams: Streams) -> None:
    """Whoever hears "unavailable" believes that nothing has happened, and asks again."""
    passage = Passage(streams.dsn)
    async with reached_by(passage, streams) as database:

        async def lose_in_the_end() -> None:
            async with database.transaction() as transaction:
                await transaction.connection.execute(ADD)
                await passage.close()

        with pytest.raises((asyncpg.PostgresConnectionError, asyncpg.InterfaceError)):
            await lose_in_the_end()
        await passage.open()


async def test_an_error_of_a_statement_stays_what_it_is(streams: Streams) -> None:
    with pytest.raises(asyncpg.UndefinedTableError):
        async with streams.database.transaction() as transaction:
            await transaction.connection.execute("SELECT FROM nowhere")


async def test_a_pool_that_stays_empty_is_an_outage(
    streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(8):
            await stack.enter_async_context(streams.database.read())
        # Only now: a busy machine may need longer than that for each of the eight log-ins.
        monkeypatch.setattr(db, "ACQUIRE_TIMEOUT_SECONDS", 0.1)
        with pytest.raises(DatabaseUnavailable):
            await stack.enter_async_context(streams.database.read())
