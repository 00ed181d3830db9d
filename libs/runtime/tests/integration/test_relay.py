"""The relay on real Postgres: in order per key, at least once, never stuck."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID, uuid4

import pytest

from libs.events.identity import UserRegistered
from libs.events.registry import REGISTRY
from libs.events.transport import BusError, OutgoingMessage
from libs.runtime import relay as relay_module
from libs.runtime.db import Transaction
from libs.runtime.outbox import append, row_of
from libs.runtime.relay import Relay
from libs.runtime.testing import Streams
from libs.runtime.tests.support import RecordingBus, running


def publish(transaction: Transaction, user_id: UUID | None = None) -> UUID:
    user_id = user_id or uuid4()
    return transaction.publish(
        UserRegistered(user_id=user_id, account_id=user_id, role="USER", signup_credits=1, grace=0)
    ).id


def ids(messages: Sequence[OutgoingMessage]) -> list[UUID]:
    return [REGISTRY.decode(message.value or b"").id for message in messages]


async def drain(relay: Relay) -> None:
    await relay.hold_shares()
    while await relay.publish_pending():
        pass


async def test_events_leave_in_the_order_of_their_commits(streams: Streams) -> None:
    bus, user_id = RecordingBus(), uuid4()
    written = []
    for _ in range(5):
        async with streams.database.transaction() as transaction:
            written += [publish(transaction, user_id) for _ in range(3)]
    await drain(streams.relay(bus))
    assert ids(bus.messages) == written
    await drain(streams.relay(bus))
    assert len(bus.messages) == 15


async def test_a_rolled_back_transaction_publishes_nothing(streams: Streams) -> None:
    bus = RecordingBus()
    with suppress(ZeroDivisionError):
        async with streams.database.transaction() as transaction:
            publish(transaction)
            raise ZeroDivisionError
    await drain(streams.relay(bus))
    assert bus.messages == []


async def test_a_row_that_commits_late_is_published_although_later_ones_left_before(
    streams: Streams,
) -> None:
    bus = RecordingBus()
    relay = streams.relay(bus)
    async with streams.database.transaction() as slow:
        late = publish(slow)
        await slow.flush()  # its order number is taken now
        async with streams.database.transaction() as quick:
            early = publish(quick)
        await drain(relay)
        assert ids(bus.messages) == [early]
    await drain(relay)
    assert ids(bus.messages) == [early, late]


async def test_two_transactions_of_one_key_take_their_order_numbers_one_after_the_other(
    streams: Streams,
) -> None:
    bus, user_id = RecordingBus(), uuid4()
    finished: list[UUID] = []

    async def second() -> None:
        async with streams.database.transaction() as transaction:
            finished.append(publish(transaction, user_id))

    async with streams.database.transaction() as first:
        finished.append(publish(first, user_id))
        await first.flush()
        waiting = asyncio.create_task(second())
        await asyncio.sleep(0.1)
        assert not waiting.done()
    await waiting
    await drain(streams.relay(bus))
    assert ids(bus.messages) == finished


async def test_a_crash_between_publish_and_mark_repeats_and_loses_nothing(
    streams: Streams,
) -> None:
    bus = RecordingBus()
    bus.after_publish = asyncio.CancelledError()  # dies before the rows are marked
    async with streams.database.transaction() as transaction:
        written = [publish(transaction) for _ in range(3)]
    relay = streams.relay(bus)
    await relay.hold_shares()
    with suppress(asyncio.CancelledError):
        await relay.publish_pending()
    await drain(streams.relay(bus))
    assert ids(bus.messages) == written * 2


async def test_a_message_that_fails_stays_and_the_stored_ones_are_marked(
    streams: Streams,
) -> None:
    bus = RecordingBus()
    async with streams.database.transaction() as transaction:
        first, second = publish(transaction), publish(transaction)
    bus.refused = {second}
    relay = streams.relay(bus)
    await relay.hold_shares()
    with suppress(BusError):
        await relay.publish_pending()
    assert ids(bus.messages) == [first]
    bus.refused = set()
    await drain(relay)
    assert ids(bus.messages) == [first, second]


async def test_rows_that_fail_hold_up_their_keys_and_nobody_else(
    streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when they are more than are read at once."""
    monkeypatch.setattr(relay_module, "ROWS_MAX", 2)
    bus, poisoned, user_id = RecordingBus(), uuid4(), uuid4()
    async with streams.database.transaction() as transaction:
        refused = publish(transaction, poisoned)
        behind = [publish(transaction, poisoned) for _ in range(3)]
        others = [publish(transaction, user_id) for _ in range(3)]
    bus.refused = {refused}
    relay = streams.relay(bus)
    await relay.hold_shares()
    with pytest.raises(BusError):
        await relay.publish_pending()
    assert ids(bus.messages) == others
    bus.refused = set()
    await drain(relay)
    assert ids(bus.messages) == [*others, refused, *behind]


async def test_two_replicas_share_the_keys_and_take_over_from_a_dead_one(
    streams: Streams,
) -> None:
    one, two = streams.relay(RecordingBus(), "one"), streams.relay(RecordingBus(), "two")
    assert len(await one.hold_shares()) == 16
    assert len(await two.hold_shares()) == 0  # the leases of the first still run
    first, second = await one.hold_shares(), await two.hold_shares()
    assert len(first) == len(second) == 8
    assert set(first).isdisjoint(second)
    async with streams.database.read() as connection:
        await connection.execute("UPDATE relay_share SET lease_until = '-infinity'")
        await connection.execute("UPDATE relay_replica SET live_until = '-infinity'")
    assert len(await two.hold_shares()) == 16


async def test_a_commit_wakes_the_relay_at_once(
    streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "RENEW_SECONDS", 600.0)  # it never looks by itself
    bus = RecordingBus()
    async with running(streams.relay(bus).run()):
        await asyncio.sleep(0.2)
        async with streams.database.transaction() as transaction:
            publish(transaction)
        async with asyncio.timeout(30):
            while not bus.messages:
                await asyncio.sleep(0.005)


async def test_a_row_whose_wake_up_was_lost_is_found_by_the_slow_poll(
    streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "RENEW_SECONDS", 0.3)
    bus = RecordingBus()
    user_id = uuid4()
    registered = streams.emitter.event(
        UserRegistered(user_id=user_id, account_id=user_id, role="USER", signup_credits=1, grace=0)
    )
    async with running(streams.relay(bus).run()):
        await asyncio.sleep(0.2)
        async with streams.database.read() as connection:
            await append(connection, [row_of(registered)])  # committed, and nobody is told of it
        async with asyncio.timeout(30):
            while not bus.messages:
                await asyncio.sleep(0.005)


async def test_a_relay_survives_a_bus_that_is_down(streams: Streams) -> None:
    bus = RecordingBus()
    bus.down = True
    async with running(streams.relay(bus).run()):
        async with streams.database.transaction() as transaction:
            written = publish(transaction)
        await asyncio.sleep(0.3)
        bus.down = False
        async with asyncio.timeout(30):
            while not bus.messages:
                await asyncio.sleep(0.01)
    assert ids(bus.messages) == [written]


async def test_the_outbox_keeps_what_was_published(streams: Streams) -> None:
    async with streams.database.transaction() as transaction:
        written = publish(transaction)
    await drain(streams.relay(RecordingBus()))
    assert [event_id for event_id, _ in await streams.published()] == [written]


async def test_an_event_says_that_it_is_a_cloudevent(streams: Streams) -> None:
    bus = RecordingBus()
    async with streams.database.transaction() as transaction:
        publish(transaction)
    await drain(streams.relay(bus))
    assert bus.messages[0].headers == (
        ("content-type", b"application/cloudevents+json; charset=UTF-8"),
    )


async def pending(streams: Streams) -> int:
    async with streams.database.read() as connection:
        return int(await connection.fetchval("SELECT count(*) FROM outbox_pending"))


async def test_marks_come_with_the_next_rows_or_a_moment_later(
    streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = RecordingBus()
    monkeypatch.setattr(relay_module, "MARK_SECONDS", 0.5)
    monkeypatch.setattr(relay_module, "RENEW_SECONDS", 600.0)  # it never looks by itself
    async with running(streams.relay(bus).run()):
        for number in range(1, 4):
            async with streams.database.transaction() as transaction:
                publish(transaction)
            while len(bus.messages) < number:
                await asyncio.sleep(0.01)
            assert await pending(streams) <= 1  # the last one alone
        async with asyncio.timeout(30):
            while await pending(streams):
                await asyncio.sleep(0.05)
    assert len(bus.messages) == 3


async def test_a_relay_that_ends_marks_what_it_has_published(streams: Streams) -> None:
    bus = RecordingBus()
    async with running(streams.relay(bus).run()):
        async with streams.database.transaction() as transaction:
            publish(transaction)
        while not bus.messages:
            await asyncio.sleep(0.001)
    assert await pending(streams) == 0
