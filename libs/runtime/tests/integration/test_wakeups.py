"""Wake-ups within a process, between processes, and over a lost connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from libs.events.names import Service
from libs.runtime.testing import Streams
from libs.runtime.tests.support import running
from libs.runtime.wakeups import Wakeups


def other_process(streams: Streams, *, company_seconds: float = 10.0) -> Wakeups:
    return Wakeups(
        streams.dsn,
        schema=Service.BILLING.value,
        process_id=streams.ids.new(),
        clock=streams.clock,
        hello_seconds=0.1,
        company_seconds=company_seconds,
    )


@asynccontextmanager
async def told(streams: Streams) -> AsyncIterator[list[str]]:
    """What is sent between the processes meanwhile, signs of life left out."""
    heard: list[str] = []

    def hear(_connection: object, _pid: int, _channel: str, payload: object) -> None:
        if not str(payload).endswith(",[]]"):
            heard.append(str(payload))

    connection = await asyncpg.connect(streams.dsn)
    try:
        await connection.add_listener(f"daygen_{Service.BILLING.value}", hear)
        yield heard
    finally:
        await connection.close()


async def test_a_waiter_hears_its_key_and_its_channel_and_nothing_else(streams: Streams) -> None:
    wakeups = streams.wakeups
    with (
        wakeups.listen("feed", "ann") as ann,
        wakeups.listen("feed", "bob") as bob,
        wakeups.listen("feed") as everybody,
    ):
        wakeups.wake("feed", "ann")
        assert await ann.wait(0)
        assert await everybody.wait(0)
        assert not await bob.wait(0)


async def test_a_wake_up_between_two_waits_is_not_missed(streams: Streams) -> None:
    with streams.wakeups.listen("feed", "ann") as ann:
        streams.wakeups.wake("feed", "ann")
        streams.wakeups.wake("feed", "ann")
        assert await ann.wait(0)
        assert not await ann.wait(0)


async def test_another_process_is_woken_by_one_notification_of_many(streams: Streams) -> None:
    other = other_process(streams)
    async with running(streams.wakeups.run()), running(other.run()):
        with other.listen("feed", "user-999") as wakeup:
            await wakeup.wait(30)  # fired once as the other process starts to listen
            for number in range(1_000):
                streams.wakeups.wake("feed", f"user-{number}")
            assert await wakeup.wait(30)


async def test_a_lost_connection_wakes_everybody_and_is_made_again(streams: Streams) -> None:
    async with running(streams.wakeups.run()):
        with streams.wakeups.listen("feed", "ann") as ann:
            assert await ann.wait(30)
            async with streams.database.read() as connection:
                await connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name LIKE '%wakeups' AND datname = current_database()"
                )
            assert await ann.wait(10)


async def test_wake_ups_leave_only_after_the_commit(streams: Streams) -> None:
    with streams.wakeups.listen("feed", "ann") as ann:
        async with streams.database.transaction() as transaction:
            transaction.wake("feed", "ann")
            await asyncio.sleep(0)
            assert not await ann.wait(0)
        assert await ann.wait(0)


async def test_a_process_that_is_alone_tells_nobody(streams: Streams) -> None:
    alone = other_process(streams, company_seconds=0.3)
    async with running(alone.run()):
        await asyncio.sleep(0.6)
        async with told(streams) as heard:
            with alone.listen("feed", "ann") as ann:
                alone.wake("feed", "ann")
                assert await ann.wait(0)
            await asyncio.sleep(0.3)
            assert heard == []


async def test_a_process_that_comes_later_is_told_from_its_first_sign_on(streams: Streams) -> None:
    first = other_process(streams, company_seconds=1.5)
    async with running(first.run()):
        await asyncio.sleep(2)
        late = other_process(streams)
        with late.listen("feed", "ann") as wakeup:
            async with running(late.run()):
                await wakeup.wait(30)  # fired once as it starts to listen
                await asyncio.sleep(0.3)
                first.wake("feed", "bob")
                first.wake("feed", "ann")
                await wakeup.wait(0)
                first.wake("feed", "ann")
                assert await wakeup.wait(30)
                async with told(streams) as heard:
                    await asyncio.sleep(2)  # signs of life keep it in company
                    assert heard == []
                first.wake("feed", "ann")
                assert await wakeup.wait(30)


async def test_what_a_process_kept_to_itself_is_told_to_who_comes(streams: Streams) -> None:
    first = other_process(streams, company_seconds=0.3)
    async with running(first.run()):
        await asyncio.sleep(0.6)
        connection = await asyncpg.connect(streams.dsn)
        try:
            async with told(streams) as heard:
                first.wake("feed", "ann")
                stranger = f'["{streams.ids.new()}",[]]'
                await connection.execute(
                    "SELECT pg_notify($1, $2)", f"daygen_{Service.BILLING.value}", stranger
                )
                async with asyncio.timeout(30):
                    while not any('["",""]' in each for each in heard):
                        await asyncio.sleep(0.01)
        finally:
            await connection.close()
