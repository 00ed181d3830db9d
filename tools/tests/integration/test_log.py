"""The log made again from Kafka: whatever was changed there after it was sealed is named."""

from collections.abc import AsyncIterator, Callable

import pytest

from infra.kafka import topics
from infra.local.cluster import LocalCluster
from libs.events.bus import KafkaBus
from libs.events.names import Service, Topic
from libs.events.transport import OutgoingMessage
from libs.runtime.testing import Streams, open_streams
from libs.runtime.testing_recovery import live
from services.ledger.handlers import sealing
from services.ledger.rebuild import PROJECTION
from services.ledger.tests.integration.test_sealing import book, habits, seal
from tools.projections.log import LogReport, compare_log

Message = tuple[str, bytes, bytes]  # topic, key, value
Change = Callable[[list[Message]], list[Message]]


@pytest.fixture
async def streams(
    cluster: LocalCluster, database_name: str, bus: KafkaBus, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Streams]:
    """A ledger that has booked and sealed, and published both."""
    monkeypatch.setattr(sealing, "RECORDS_MAX", 9)
    dsn = cluster.postgres_dsn(Service.LEDGER, database_name)
    async with open_streams(dsn, Service.LEDGER, [PROJECTION.migrations]) as opened:
        await book(opened, bus, 1)
        await seal(opened, bus)
        await live(opened, bus, habits(opened))
        yield opened


async def report(streams: Streams, bus: KafkaBus) -> LogReport:
    async with bus.log() as log:
        return await compare_log(log, streams.dsn)


async def of_another_kafka(streams: Streams, bus: KafkaBus, change: Change) -> LogReport:
    """The report where Kafka holds what the ledger has published, but for a change."""
    async with streams.database.read() as connection:
        rows = await connection.fetch(
            "SELECT topic, key, encoded FROM outbox ORDER BY order_number"
        )
    messages = change([(row["topic"], row["key"], row["encoded"]) for row in rows])
    other = KafkaBus(bus._bootstrap, client_id="test", prefix=f"other.{bus._prefix}")
    await topics.ensure(bus._bootstrap, partitions=3, prefix=other._prefix)
    try:
        assert set(await other.publish([OutgoingMessage(*each) for each in messages])) == {None}
        return await report(streams, other)
    finally:
        await other.close()
        await topics.delete(bus._bootstrap, prefix=other._prefix)


def of(messages: list[Message], topic: Topic) -> list[int]:
    return [number for number, each in enumerate(messages) if each[0] == topic.value]


async def test_a_log_that_nobody_has_changed_has_the_root_that_was_signed(
    streams: Streams, bus: KafkaBus
) -> None:
    found = await report(streams, bus)
    assert (found.drift, found.unsealed) == (0, 0)
    assert found.size > 20
    assert found.seals > 2
    again = await of_another_kafka(streams, bus, lambda messages: messages + messages[:7])
    assert again == found  # told twice is no difference
    async with streams.database.read() as connection:
        await connection.execute("UPDATE seal SET root = set_byte(root, 0, get_byte(root, 0) # 1)")
    lost = await report(streams, bus)
    assert (lost.is_kept, lost.drift) == (False, 1)


async def test_an_event_that_was_altered_on_kafka_is_named(streams: Streams, bus: KafkaBus) -> None:
    def richer(messages: list[Message]) -> list[Message]:
        at = of(messages, Topic.CREDITS)[3]
        topic, key, value = messages[at]
        messages[at] = topic, key, value.replace(b'"settled_after":', b'"settled_after":9')
        return messages

    found = await of_another_kafka(streams, bus, richer)
    assert (found.altered, found.missing, found.drift) == (1, 0, 1)
    assert found.examples[0].startswith("altered: ")


async def test_an_event_that_is_gone_and_a_seal_that_is_gone_are_told(
    streams: Streams, bus: KafkaBus
) -> None:
    def without(topic: Topic) -> Change:
        return lambda messages: [
            each for number, each in enumerate(messages) if number != of(messages, topic)[1]
        ]

    found = await of_another_kafka(streams, bus, without(Topic.CREDITS))
    assert (found.missing, found.altered, found.drift) == (1, 0, 1)
    found = await of_another_kafka(streams, bus, without(Topic.OPERATIONS))
    assert found.broken_seals > 0
    assert found.unsealed > 0


async def test_a_seal_that_was_altered_on_kafka_is_told(streams: Streams, bus: KafkaBus) -> None:
    def other_root(messages: list[Message]) -> list[Message]:
        at = of(messages, Topic.OPERATIONS)[-1]
        topic, key, value = messages[at]
        start = value.index(b'"root":"') + len(b'"root":"')
        changed = b"A" if value[start : start + 1] != b"A" else b"B"
        messages[at] = topic, key, value[:start] + changed + value[start + 1 :]
        return messages

    found = await of_another_kafka(streams, bus, other_root)
    assert (found.broken_seals, found.drift) == (1, 1)
