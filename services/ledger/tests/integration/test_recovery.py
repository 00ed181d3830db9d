"""A ledger that has lost its database: it remembers from Kafka what it has booked."""

from random import Random
from uuid import UUID

import pytest

from infra.kafka import topics
from libs.events.bus import KafkaBus
from libs.events.envelope import Event
from libs.events.names import Service
from libs.events.payload import Payload
from libs.events.registry import REGISTRY
from libs.events.testing import NOW
from libs.events.testing import event as event_of
from libs.events.transport import OutgoingMessage
from libs.runtime import recovery as recovery_module
from libs.runtime.testing import Streams
from libs.runtime.testing_recovery import (
    Habits,
    extents,
    live,
    recover_dying,
    recovery,
    tables,
    tell,
)
from services.ledger import consumers
from services.ledger.handlers.expiry import Expiry
from services.ledger.rebuild import EVENT_TYPES
from services.ledger.tests.builders import facts, requested
from services.ledger.tests.integration.audit import audit
from services.ledger.tests.integration.conftest import Ledger, SetClock
from services.ledger.tests.integration.test_booking import history
from services.ledger.tests.integration.test_rebuild import HOUR, lots_over_time, order


def habits(streams: Streams) -> Habits:
    return Habits(
        history=consumers.create_history(streams.clock),
        topics=consumers.TOPICS,
        types=consumers.EVENT_TYPES,
        handler=consumers.create_handler(streams.clock, streams.ids),
    )


def some_history(seed: int) -> list[Event[Payload]]:
    random = Random(seed)
    accounts = [UUID(int=random.getrandbits(128)) for _ in range(4)]
    return [event_of(each, source=Service.GATEWAY) for each in history(random, accounts)]


async def test_a_ledger_without_its_database_comes_back_as_it_was(
    streams: Streams, emptied: Streams, bus: KafkaBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through deaths before and after many of its commits, and without saying anything again.

    What persons have ordered, and lots that came to their end, are in it: no input tells of those.
    """
    random = Random(3)
    accounts = [UUID(int=random.getrandbits(128)) for _ in range(4)]
    messages = [*history(random, accounts), *lots_over_time(random, accounts)]
    await tell(bus, [event_of(each, source=Service.GATEWAY) for each in messages])
    await live(streams, bus, habits(streams))
    await Expiry(streams.database, SetClock(NOW + 4 * HOUR)).work()
    early = [
        requested(facts(each, UUID(int=40_000 + place), units=4, requested_at=NOW))
        for place, each in enumerate(accounts)
    ]
    await tell(bus, [event_of(each, source=Service.GATEWAY) for each in early])
    await live(streams, bus, habits(streams))
    await order(Ledger(streams), accounts)
    await live(streams, bus, habits(streams))
    told = {REGISTRY.decode(encoded).data.event_type for _, encoded in await streams.published()}
    assert told >= EVENT_TYPES
    said = await extents(bus, consumers.create_history(streams.clock).own)
    monkeypatch.setattr(recovery_module, "RECORDS_MAX", 5)
    assert await recover_dying(emptied, bus, habits(emptied).history) > 10
    await live(emptied, bus, habits(emptied))
    assert await tables(emptied) == await tables(streams)
    assert await extents(bus, consumers.create_history(streams.clock).own) == said
    async with emptied.database.read() as connection:
        await audit(connection)


async def test_what_came_while_it_was_away_is_booked_once(
    streams: Streams, emptied: Streams, bus: KafkaBus
) -> None:
    events = some_history(4)
    await tell(bus, events[: len(events) // 2])
    await live(streams, bus, habits(streams))
    booked = [event_id for event_id, _ in await streams.published()]
    await tell(bus, events[len(events) // 2 :])
    await live(emptied, bus, habits(emptied))
    published = await emptied.published()
    assert {event_id for event_id, _ in published} > set(booked)
    causes = [REGISTRY.decode(encoded).causation_id for event_id, encoded in published if event_id]
    assert len(causes) == len(set(causes))
    async with emptied.database.read() as connection:
        await audit(connection)


async def test_a_history_whose_order_was_lost_is_put_in_order(
    streams: Streams, emptied: Streams, bus: KafkaBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that left for a new topic before the kept rows did stands there before them."""
    await tell(bus, some_history(5))
    await live(streams, bus, habits(streams))
    async with streams.database.read() as connection:
        rows = await connection.fetch(
            "SELECT topic, key, encoded FROM outbox ORDER BY order_number"
        )
    other = KafkaBus(bus._bootstrap, client_id="test", prefix=f"again.{bus._prefix}")
    await topics.ensure(bus._bootstrap, partitions=3, prefix=other._prefix)
    try:
        backwards = [
            OutgoingMessage(row["topic"], row["key"], row["encoded"]) for row in reversed(rows)
        ]
        for message in backwards:
            assert await other.publish([message]) == [None]
        monkeypatch.setattr(recovery_module, "RECORDS_MAX", 5)
        await recovery(emptied, other, habits(emptied).history).run()
    finally:
        await other.close()
        await topics.delete(bus._bootstrap, prefix=other._prefix)
    books = ("account", "lot", "reservation", "transaction", "entry")
    assert {name: (await tables(emptied))[name] for name in books} == {
        name: (await tables(streams))[name] for name in books
    }
