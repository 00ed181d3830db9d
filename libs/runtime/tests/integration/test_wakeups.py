"""Wake-ups within a process, between processes, and over a lost connection."""

import asyncio

from libs.events.names import Service
from libs.runtime.testing import Streams
from libs.runtime.tests.support import running
from libs.runtime.wakeups import Wakeups


def other_process(streams: Streams) -> Wakeups:
    return Wakeups(
        streams.dsn,
        schema=Service.BILLING.value,
        process_id=streams.ids.new(),
        clock=streams.clock,
    )


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
            await wakeup.wait(5)  # fired once as the other process starts to listen
            for number in range(1_000):
                streams.wakeups.wake("feed", f"user-{number}")
            assert await wakeup.wait(5)


async def test_a_lost_connection_wakes_everybody_and_is_made_again(streams: Streams) -> None:
    async with running(streams.wakeups.run()):
        with streams.wakeups.listen("feed", "ann") as ann:
            assert await ann.wait(5)
            async with streams.database.read() as connection:
                await connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE query LIKE 'LISTEN%' AND datname = current_database()"
                )
            assert await ann.wait(10)


async def test_wake_ups_leave_only_after_the_commit(streams: Streams) -> None:
    with streams.wakeups.listen("feed", "ann") as ann:
        async with streams.database.transaction() as transaction:
            transaction.wake("feed", "ann")
            await asyncio.sleep(0)
            assert not await ann.wait(0)
        assert await ann.wait(0)
