"""The watchdog and the figures on real parts: who is behind, what has yet to be done."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from structlog.testing import capture_logs

from libs.events.bus import KafkaBus
from libs.events.envelope import Event
from libs.events.identity import UserRegistered
from libs.events.payload import Payload
from libs.events.subscription import KafkaSubscription
from libs.events.transport import IncomingMessage
from libs.runtime import waiting
from libs.runtime.backlog import Backlog, BacklogMetrics
from libs.runtime.db import Transaction
from libs.runtime.testing import Streams
from libs.runtime.tests.integration.test_consumer import (
    APPLIED,
    consumer,
    message,
    record,
    registered,
    until,
)
from libs.runtime.tests.support import RecordingBus, running
from libs.runtime.watchdog import LOOKS, Watchdog

DEADLINE_SECONDS = 60.0


def is_stuck(watchdog: Watchdog) -> bool:
    return watchdog.verdict is not None


async def answers() -> None:
    """The database does."""


async def test_a_consumer_whose_fetches_bring_nothing_is_found(
    streams: Streams, bus: KafkaBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own client hears of no new messages: only asking Kafka apart from it tells."""
    is_deaf = False
    fetch = KafkaSubscription.fetch

    async def perhaps(
        self: KafkaSubscription, *, records_max: int, timeout_seconds: float
    ) -> Sequence[IncomingMessage]:
        if is_deaf:
            await asyncio.sleep(timeout_seconds)
            return []
        return await fetch(self, records_max=records_max, timeout_seconds=timeout_seconds)

    monkeypatch.setattr(KafkaSubscription, "fetch", perhaps)
    monkeypatch.setattr(KafkaSubscription, "known_ends", lambda _: {})
    member = consumer(streams, bus)
    watchdog = Watchdog(
        member, is_database_ready=answers, clock=streams.clock, stuck_seconds=float(LOOKS)
    )
    async with running(member.run()):
        await bus.publish([message(registered(streams))])
        await until(1, APPLIED, streams)
        for _ in range(2 * LOOKS):
            await watchdog.look()
        assert not is_stuck(watchdog)  # idle
        is_deaf = True
        await asyncio.sleep(1.2)  # the fetch under way may still hear
        await bus.publish([message(registered(streams))])
        for _ in range(LOOKS):
            await watchdog.look()
        assert is_stuck(watchdog)
        is_deaf = False
        await until(2, APPLIED, streams)
        await watchdog.look()
        assert not is_stuck(watchdog)


async def test_lag_is_counted_while_a_batch_waits_and_gone_after_it(
    streams: Streams, bus: KafkaBus
) -> None:
    gate = asyncio.Event()

    async def handle(transaction: Transaction, events: Sequence[Event[Payload]]) -> None:
        await gate.wait()
        await record(transaction, events)

    member = consumer(streams, bus, handle)
    await bus.publish([message(registered(streams)) for _ in range(7)])
    async with running(member.run()), asyncio.timeout(DEADLINE_SECONDS):
        while member.unread() != {"daygen.identity": 7}:
            await asyncio.sleep(0.02)
        before = member.since_commit_seconds()
        gate.set()
        while member.unread() != {"daygen.identity": 0}:
            await asyncio.sleep(0.02)
        assert member.since_commit_seconds() < before + DEADLINE_SECONDS


def test_the_figures_of_a_consumer_are_scraped(streams: Streams) -> None:
    class Reader:
        def unread(self) -> dict[str, int]:
            return {"daygen.credits": 3}

        def since_commit_seconds(self) -> float:
            return 1.5

    registry = CollectorRegistry()
    metrics = type(streams.metrics)(registry)
    metrics.watch("daygen.billing", Reader())
    text = generate_latest(registry).decode()
    lag = 'daygen_consumer_lag_messages{consumer="daygen.billing",topic="daygen.credits"} 3.0'
    assert lag in text
    assert 'daygen_consumer_since_commit_seconds{consumer="daygen.billing"} 1.5' in text


def publish(transaction: Transaction, user_id: UUID | None = None) -> Event[Payload]:
    user_id = user_id or uuid4()
    return transaction.publish(
        UserRegistered(user_id=user_id, account_id=user_id, role="USER", signup_credits=1, grace=0)
    )


async def test_the_backlog_counts_what_is_written_and_not_published(streams: Streams) -> None:
    backlog = Backlog(
        database=streams.database,
        clock=streams.clock,
        metrics=BacklogMetrics(CollectorRegistry()),
    )
    async with streams.database.transaction() as transaction:
        for _ in range(3):
            publish(transaction)
    await asyncio.sleep(0.2)
    measured = await backlog.measure()
    assert measured.outbox_rows == 3
    assert 0.2 <= measured.outbox_age_seconds < 10
    relay = streams.relay(RecordingBus())
    await relay.hold_shares()
    await relay.publish_pending()
    measured = await backlog.measure()
    assert (measured.outbox_rows, measured.outbox_age_seconds) == (0, 0.0)


async def test_inputs_that_wait_for_more_than_a_minute_are_an_alarm(streams: Streams) -> None:
    registry = CollectorRegistry()
    backlog = Backlog(
        database=streams.database, clock=streams.clock, metrics=BacklogMetrics(registry)
    )
    since = streams.clock.now() - timedelta(seconds=61)
    async with streams.database.transaction() as transaction:
        await waiting.put(transaction, [("a", registered(streams))], now=since)
        await waiting.put(transaction, [("a", registered(streams))], now=streams.clock.now())
    with capture_logs() as lines:
        measured = await backlog.measure()
        await backlog.measure()  # the same trouble is not told again at once
    assert measured.waiting_rows == 2
    assert 61 <= measured.waiting_age_seconds < 70
    assert [line["event"] for line in lines] == ["waiting_too_long"]
    text = generate_latest(registry).decode()
    assert "daygen_waiting_rows 2.0" in text
    assert "daygen_outbox_age_seconds 0.0" in text
    async with streams.database.transaction() as transaction:
        await waiting.take(transaction, ["a"])
    assert (await backlog.measure()).waiting_rows == 0


async def test_parked_rows_are_counted_until_they_are_resolved(
    streams: Streams, bus: KafkaBus
) -> None:
    backlog = Backlog(
        database=streams.database,
        clock=streams.clock,
        metrics=BacklogMetrics(CollectorRegistry()),
    )
    await bus.publish([message(registered(streams, role="POISON"))])
    async with running(consumer(streams, bus).run()):
        await until(1, "SELECT count(*) FROM parked", streams)
    assert (await backlog.measure()).parked_rows == 1
    async with streams.database.read() as connection:
        await connection.execute("UPDATE parked SET resolved_at = now(), resolution = 'gone'")
    assert (await backlog.measure()).parked_rows == 0


async def test_there_are_no_figures_while_the_database_is_away(streams: Streams) -> None:
    registry = CollectorRegistry()
    backlog = Backlog(
        database=streams.database, clock=streams.clock, metrics=BacklogMetrics(registry)
    )
    await backlog.measure()
    await streams.database.close()
    async with running(backlog.run()), asyncio.timeout(DEADLINE_SECONDS):
        while b"daygen_outbox_rows" in generate_latest(registry):
            await asyncio.sleep(0.02)
