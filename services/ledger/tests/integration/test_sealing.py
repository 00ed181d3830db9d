"""The log: every credits event once, in one order, whoever seals, dies or reads again."""

import asyncio
import hmac
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from infra.kafka import topics
from libs.events.bus import KafkaBus
from libs.events.envelope import Event, encode
from libs.events.identity import AccountErased
from libs.events.names import Service, Topic
from libs.events.operations import LogSealed
from libs.events.payload import Payload
from libs.events.registry import REGISTRY
from libs.events.testing import NOW
from libs.events.testing import completed as delivered
from libs.events.testing import event as event_of
from libs.events.transport import OutgoingMessage
from libs.proofs.keyring import HeldKey, Keyring
from libs.proofs.leaves import leaf_of
from libs.proofs.notes import to_base64
from libs.proofs.testing import root_of
from libs.runtime.testing import Streams, rebuilt
from libs.runtime.testing_recovery import (
    DiedError,
    Habits,
    Mortal,
    live,
    recovery,
    tables,
    tell,
)
from services.ledger import consumers
from services.ledger.domain.errors import BrokenLogError
from services.ledger.domain.log import Leaf, grow
from services.ledger.handlers import sealing
from services.ledger.handlers.log_metrics import LogMetrics
from services.ledger.handlers.receipts import LogEmpty, LogPositionUnknown, Receipts
from services.ledger.handlers.sealing import Sealer
from services.ledger.projections import follow_seals
from services.ledger.rebuild import LOG
from services.ledger.store import log
from services.ledger.tests.builders import ADMIN, facts, registered, requested
from services.ledger.tests.integration.test_booking import history

KEYRING = Keyring(
    origin="test/ledger",
    prompt_key=bytes(32),
    keys=(HeldKey(seed=bytes(range(32)), created_at=NOW),),
)
TABLES = ("seal", "leaf", "tile")


def habits(streams: Streams) -> Habits:
    return Habits(
        history=consumers.create_history(streams.clock),
        topics=consumers.TOPICS,
        types=consumers.EVENT_TYPES,
        handler=consumers.create_handler(streams.clock, streams.ids),
    )


def sealer(streams: Streams, bus: KafkaBus, database: Any = None) -> Sealer:
    return Sealer(
        database=database or streams.database,
        bus=bus,
        wakeups=streams.wakeups,
        clock=streams.clock,
        keys=lambda: KEYRING,
        metrics=LogMetrics(CollectorRegistry(), streams.clock),
    )


async def seal(streams: Streams, bus: KafkaBus, database: Any = None) -> None:
    """Until nothing is left to seal."""
    async with bus.log() as log:
        one = sealer(streams, bus, database)
        while (await one.seal(log)).messages:
            pass


async def book(streams: Streams, bus: KafkaBus, seed: int, accounts: int = 3) -> None:
    """Something of everything, booked and published."""
    random = Random(seed)
    ids = [UUID(int=random.getrandbits(128)) for _ in range(accounts)]
    told = [event_of(each, source=Service.GATEWAY) for each in history(random, ids)]
    await tell(bus, told)
    await live(streams, bus, habits(streams))


async def published(streams: Streams) -> tuple[dict[UUID, bytes], list[LogSealed]]:
    """Credits events with their bytes, and seals in order, by the outbox."""
    credits_: dict[UUID, bytes] = {}
    seals: list[LogSealed] = []
    for event_id, encoded in await streams.published():
        if event_id is None:
            continue
        event = REGISTRY.decode(encoded)
        if isinstance(event.data, LogSealed):
            seals.append(event.data)
        elif event.data.topic is Topic.CREDITS:
            credits_[event_id] = encoded
    return credits_, seals


async def assert_sealed(streams: Streams) -> list[LogSealed]:
    """Every credits event is one leaf; seals follow on each other; roots are those of the bytes."""
    credits_, seals = await published(streams)
    leaves = [each for seal_ in seals for each in seal_.leaves]
    assert sorted(each.event_id for each in leaves) == sorted(credits_)
    hashes = [leaf_of(credits_[each.event_id]) for each in leaves]
    assert [each.hash for each in leaves] == [to_base64(each) for each in hashes]
    size = 0
    for each in seals:
        assert (each.position, each.size) == (size, size + len(each.leaves))
        size = each.size
        assert each.root == to_base64(root_of(hashes[:size]))
    return seals


async def test_every_booking_is_sealed_once_and_the_roots_are_those_of_kafkas_bytes(
    streams: Streams, bus: KafkaBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    await book(streams, bus, 1)
    monkeypatch.setattr(sealing, "RECORDS_MAX", 7)
    await seal(streams, bus)
    assert len(await assert_sealed(streams)) > 3
    await book(streams, bus, 2)
    await seal(streams, bus)
    await assert_sealed(streams)


async def test_what_is_shown_of_the_log_outlives_the_database_that_has_shown_it(
    streams: Streams, emptied: Streams, bus: KafkaBus
) -> None:
    """A seal that Kafka does not hold is lost with its database; what is sealed anew differs."""
    await book(streams, bus, 1)
    shown = Receipts(streams.database, lambda: KEYRING)
    await seal(streams, bus)
    with pytest.raises(LogEmpty):
        await shown.checkpoint()
    await live(streams, bus, habits(streams))  # the relay comes to it
    first = await shown.checkpoint()
    await book(streams, bus, 2)
    await seal(streams, bus)
    (_, second) = (await published(streams))[1]
    assert await shown.checkpoint() == await shown.checkpoint(second.position) == first
    with pytest.raises(LogPositionUnknown):
        await shown.checkpoint(second.size)
    with pytest.raises(LogPositionUnknown):
        await shown.inclusion(0, second.size)
    await book(emptied, bus, 6)  # recovered, and something came before the log was looked at
    await seal(emptied, bus)
    await live(emptied, bus, habits(emptied))
    after = Receipts(emptied.database, lambda: KEYRING)
    assert await after.checkpoint(second.position) == first
    assert await after.checkpoint() != first
    await assert_sealed(emptied)


async def test_two_replicas_that_seal_at_once_append_each_event_once(
    streams: Streams, bus: KafkaBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "RECORDS_MAX", 5)
    await book(streams, bus, 3, accounts=5)
    await asyncio.gather(*(seal(streams, bus) for _ in range(4)))
    await seal(streams, bus)
    await assert_sealed(streams)


async def test_a_sealer_that_dies_anywhere_leaves_each_event_sealed_once(
    streams: Streams, bus: KafkaBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "RECORDS_MAX", 6)
    await book(streams, bus, 4)
    for deaths in range(8):
        mortal = Mortal(streams.database, at=1 + deaths % 2, after_commit=bool(deaths % 3))
        with pytest.raises(DiedError):
            await seal(streams, bus, mortal)
    await seal(streams, bus)
    await assert_sealed(streams)


async def test_events_that_kafka_holds_twice_are_sealed_once(
    streams: Streams, bus: KafkaBus
) -> None:
    """A relay that died between publishing and marking, or a topic that was made anew."""
    await book(streams, bus, 5)
    await seal(streams, bus)
    credits_, _ = await published(streams)
    again = [
        OutgoingMessage(Topic.CREDITS.value, str(REGISTRY.decode(each).key).encode(), each)
        for each in credits_.values()
    ]
    assert set(await bus.publish([*again, *again])) == {None}
    await seal(streams, bus)
    await assert_sealed(streams)
    other = KafkaBus(bus._bootstrap, client_id="test", prefix=f"again.{bus._prefix}")
    await topics.ensure(bus._bootstrap, partitions=3, prefix=other._prefix)
    try:
        assert set(await other.publish(again)) == {None}
        await seal(streams, other)
        await assert_sealed(streams)
    finally:
        await other.close()
        await topics.delete(bus._bootstrap, prefix=other._prefix)


async def test_what_others_write_to_the_topic_is_no_leaf(streams: Streams, bus: KafkaBus) -> None:
    await book(streams, bus, 6)
    credits_, _ = await published(streams)
    encoded = next(iter(credits_.values()))
    forged = encoded.replace(b'"/daygen/ledger"', b'"/daygen/elsewhere"')
    forged = forged.replace(str(REGISTRY.decode(encoded).id).encode(), str(uuid4()).encode())
    key = REGISTRY.decode(encoded).key.encode()
    for value in (forged, b"no event", None):
        assert await bus.publish([OutgoingMessage(Topic.CREDITS.value, key, value)]) == [None]
    await seal(streams, bus)
    await assert_sealed(streams)


async def test_a_rebuild_folds_the_seals_and_gives_the_same_log(
    streams: Streams, bus: KafkaBus, ledger_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "RECORDS_MAX", 9)
    await book(streams, bus, 7)
    await seal(streams, bus)
    await live(streams, bus, habits(streams))
    outcome = await rebuilt(LOG, ledger_dsn, bus)
    assert {each.table: (each.is_equal, each.live_rows > 0) for each in outcome.tables} == {
        table.name: (True, True) for table in LOG.tables
    }
    async with streams.database.read() as connection:
        await connection.execute(
            "UPDATE tile SET hashes = set_byte(hashes, 3, 7 # get_byte(hashes, 3))"
        )
    outcome = await rebuilt(LOG, ledger_dsn, bus)
    assert [each.table for each in outcome.tables if not each.is_equal] == ["tile"]
    await rebuilt(LOG, ledger_dsn, bus, swap=True, accept_differences=True)
    await book(streams, bus, 11)
    await seal(streams, bus)
    await assert_sealed(streams)


async def test_a_ledger_without_its_database_goes_on_with_the_same_log(
    streams: Streams, emptied: Streams, bus: KafkaBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "RECORDS_MAX", 9)
    await book(streams, bus, 8)
    await seal(streams, bus)
    await live(streams, bus, habits(streams))  # the seals reach Kafka
    await recovery(emptied, bus, habits(emptied).history).run()
    before, after = await tables(streams), await tables(emptied)
    assert {name: after[name] for name in TABLES} == {name: before[name] for name in TABLES}
    assert len(before["leaf"]) > 10
    await live(emptied, bus, habits(emptied))
    await seal(emptied, bus)
    assert (await tables(emptied))["seal"] == before["seal"]
    assert (await tables(emptied))["leaf_event"] == before["leaf_event"]
    await book(emptied, bus, 9)
    await seal(emptied, bus)
    await assert_sealed(emptied)


async def test_a_seal_that_does_not_fit_is_refused(streams: Streams, bus: KafkaBus) -> None:
    await book(streams, bus, 10)
    await seal(streams, bus)
    _, (told,) = await published(streams)
    async with streams.database.read() as connection:
        edge = await log.edge(connection, told.size)
    right = grow(told.size, edge, [Leaf(uuid4(), bytes(32))]).seal()
    later = replace(right, position=told.size + 5)
    wrong = replace(right, root=told.root)
    for each in (later, wrong):
        async with streams.database.read() as connection:
            with pytest.raises(BrokenLogError):
                await follow_seals(connection, [event_of(each, source=Service.LEDGER)])
    await assert_sealed(streams)


async def test_of_a_prompt_only_a_keyed_hash_is_kept_and_an_erased_person_loses_that(
    streams: Streams, bus: KafkaBus
) -> None:
    account_id, job_id = uuid4(), uuid4()
    request = facts(account_id, job_id, prompt="a very particular lighthouse")
    events: list[Event[Payload]] = [
        event_of(each, source=Service.GATEWAY)
        for each in (registered(account_id), requested(request), delivered(request))
    ]
    await tell(bus, events)
    await live(streams, bus, habits(streams))
    await seal(streams, bus)
    digest = hmac.digest(bytes(32), request.prompt.encode(), "sha256").hex()
    (row,) = (await tables(streams))["answered_job"]
    assert digest in row
    for name, lines in (await tables(streams)).items():
        assert not any("lighthouse" in line for line in lines), name
    gone = AccountErased(user_id=account_id, account_id=account_id, actor=ADMIN)
    await tell(bus, [event_of(gone, source=Service.GATEWAY)])
    await seal(streams, bus)
    (row,) = (await tables(streams))["answered_job"]
    assert digest not in row
    assert "sha256" not in row
    assert encode(events[1])  # its words are still on Kafka: nothing is taken from there again
    late = event_of(delivered(request), source=Service.GATEWAY)
    await tell(bus, [late])
    await seal(streams, bus)
    (row,) = (await tables(streams))["answered_job"]
    assert digest not in row
