"""The trail: a row for every event there is, and the books never wait for it."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from asyncpg import Record

from libs.events.envelope import Envelope, Event, decode_envelope, encode
from libs.events.identity import AccountErased
from libs.events.names import EventType, Service, Topic
from libs.events.payload import Payload
from libs.events.recorded import ENVELOPES
from libs.events.registry import REGISTRY
from libs.events.testing import completed, request_facts, samples
from libs.events.testing import event as event_of
from libs.events.transport import OutgoingMessage
from libs.runtime import erasure
from libs.runtime.db import Connection
from libs.runtime.rebuild.engine import Outcome
from libs.runtime.testing import rebuilt
from services.ledger.domain.trail import row_of_envelope
from services.ledger.handlers import trail as handler
from services.ledger.rebuild import TRAIL
from services.ledger.store import trail
from services.ledger.tests.builders import registered, requested
from services.ledger.tests.integration.conftest import Ledger, RunningLedger
from services.ledger.tests.integration.test_service import balance, eventually, reach

SECRET_WORDS = b"words of a person"
DAY = timedelta(days=1)


def strange(**changes: Any) -> bytes:
    """An event that no release knows yet."""
    known = msgspec.json.decode(encode(event_of(completed())))
    data = {"words": SECRET_WORDS.decode()}
    return msgspec.json.encode(known | {"type": "daygen.dream.had", "data": data} | changes)


async def rows(ledger: Ledger) -> list[Record]:
    async with ledger.streams.database.read() as connection:
        found: list[Record] = await connection.fetch("SELECT * FROM trail ORDER BY event_id")
    return found


async def until(ledger: Ledger, count: int) -> list[Record]:
    """The rows of what others have said, once there are so many."""

    async def are_there() -> bool:
        return len(await told()) == count

    async def told() -> list[Record]:
        return [row for row in await rows(ledger) if row["source"] != Service.LEDGER.source]

    await eventually(are_there)
    return await told()


async def follow(ledger: Ledger, *events: Event[Payload]) -> None:
    """Index events as the consumer does."""
    async with ledger.streams.database.transaction() as transaction:
        erased = await erasure.erased(transaction, events)
        await handler.index(transaction, erasure.forget(events, erased, TRAIL.forget))


async def rebuild(running: RunningLedger, **options: Any) -> Outcome:
    return await rebuilt(TRAIL, running.books.streams.dsn, running.bus, **options)


def seen(*messages: bytes) -> list[Event[Payload]]:
    return [ENVELOPES.decode(each) for each in messages]


async def test_every_event_of_every_topic_has_a_row_known_or_not(running: RunningLedger) -> None:
    told = [each for each in samples() if EventType.ACCOUNT_ERASED.encode() not in each]
    kept = [_under_its_own_id(each) for each in told if Topic(_topic(each)).is_kept]
    for message in kept:
        await running.send(Topic(_topic(message)), message)
    id_of_new, id_of_newer = uuid4(), uuid4()
    newer = msgspec.json.encode(
        msgspec.json.decode(kept[0]) | {"id": str(id_of_newer), "eventversion": 99}
    )
    under_another_key = encode(event_of(completed()))
    await running.send(Topic.CREDITS, strange(id=str(id_of_new)))
    await running.send(Topic.GALLERY, newer, b"no event at all", b"")
    outcome = await running.bus.publish(
        [OutgoingMessage(Topic.OPERATIONS, b"another key", under_another_key)]
    )
    assert outcome == [None]
    # What the ledger itself says of the samples it cannot book is on the trail, too.
    wanted = {decode_envelope(each).id for each in [*kept, newer, under_another_key]} | {id_of_new}

    async def are_there() -> bool:
        return wanted <= {row["event_id"] for row in await rows(running.books)}

    await eventually(are_there)
    by_id = {row["event_id"]: row for row in await rows(running.books)}
    for message in kept:
        envelope = decode_envelope(message)
        row = by_id[envelope.id]
        assert (row["type"], row["subject"]) == (envelope.type, envelope.subject)
        assert (row["account_id"], row["occurred_at"]) == (envelope.accountid, envelope.time)
        assert (row["correlation_id"], row["causation_id"]) == (
            envelope.correlationid,
            envelope.causationid,
        )
        assert row["data"] == bytes(envelope.data)
    assert by_id[id_of_new]["type"] == "daygen.dream.had"
    assert by_id[id_of_newer]["version"] == 99
    async with running.books.streams.database.read() as connection:
        parkers = await connection.fetch("SELECT DISTINCT consumer FROM parked")
    assert "daygen.ledger.trail" not in {row["consumer"] for row in parkers}


def _under_its_own_id(message: bytes) -> bytes:
    return msgspec.json.encode(msgspec.json.decode(message) | {"id": str(uuid4())})


def _topic(message: bytes) -> str:
    return REGISTRY.models[REGISTRY.decode(message).data.event_type].topic.value


@pytest.mark.parametrize("count", [3, 700], ids=["few", "by COPY"])
async def test_an_event_that_comes_again_has_one_row(ledger: Ledger, count: int) -> None:
    messages = [encode(event_of(completed())) for _ in range(count)]
    await follow(ledger, *seen(*messages))
    await follow(ledger, *seen(*messages, *messages[:2], encode(event_of(completed()))))
    assert len(await rows(ledger)) == count + 1


async def test_a_row_knows_who_acted_for_whom(ledger: Ledger) -> None:
    user_id, workspace_id = uuid4(), uuid4()
    request = request_facts(user_id=user_id, account_id=workspace_id, workspace_id=workspace_id)
    await follow(ledger, *seen(encode(event_of(requested(request)))))
    (row,) = await rows(ledger)
    assert (row["account_id"], row["user_id"], row["workspace_id"]) == (
        workspace_id,
        user_id,
        workspace_id,
    )


async def test_events_lie_in_the_partition_of_their_day(ledger: Ledger) -> None:
    times = [datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 1, 23, 59, 59, 999999, tzinfo=UTC)]
    times += [datetime(2026, 3, 2, tzinfo=UTC), datetime(1999, 1, 1, tzinfo=UTC)]
    messages = [encode(event_of(completed(), time=at)) for at in times]
    first_ever = strange(id=str(uuid4()), time="0001-01-01T00:00:00+14:00", eventversion=2**70)
    await follow(ledger, *seen(*messages, first_ever))
    async with ledger.streams.database.read() as connection:
        found = await connection.fetch(
            "SELECT tableoid::regclass::text AS name, count(*) FROM trail GROUP BY 1 ORDER BY 1"
        )
    assert [tuple(row) for row in found] == [
        ("trail_20260301", 2),
        ("trail_20260302", 1),
        ("trail_before_2020", 2),
    ]


async def test_two_replicas_open_one_day_and_a_reader_holds_neither_up(ledger: Ledger) -> None:
    await follow(ledger, *seen(encode(event_of(completed()))))
    async with ledger.streams.database.transaction() as reading:
        await reading.connection.fetch("SELECT FROM trail")
        async with asyncio.timeout(30):
            later = [event_of(completed(), time=datetime.now(UTC) - DAY) for _ in range(2)]
            await asyncio.gather(*(follow(ledger, *seen(encode(each))) for each in later))
    assert len(await rows(ledger)) == 3


async def test_of_an_erased_person_the_trail_keeps_no_words_whenever_they_come(
    running: RunningLedger,
) -> None:
    account_id = uuid4()
    request = request_facts(user_id=account_id, prompt=SECRET_WORDS.decode())
    early, late = (completed(request, texts=(SECRET_WORDS.decode(),)) for _ in range(2))
    unknown = strange(id=str(uuid4()), accountid=str(account_id))
    await running.tell(Topic.GENERATION, requested(request), early)
    await running.send(Topic.GENERATION, unknown)
    kept = await until(running.books, 3)
    assert all(SECRET_WORDS in row["data"] for row in kept)
    gone = AccountErased(user_id=account_id, account_id=account_id, actor=uuid4())
    await running.tell(Topic.IDENTITY, gone)
    await until(running.books, 4)
    await running.tell(Topic.GENERATION, late)
    # A rebuild reads this topic after the one that tells who is gone.
    unknown_late = strange(id=str(uuid4()), accountid=str(account_id))
    await running.send(Topic.OPERATIONS, unknown_late)
    left = await until(running.books, 6)
    assert not [row for row in left if SECRET_WORDS in row["data"] or b"attempts/" in row["data"]]
    (asked,) = [row for row in left if row["type"] == "daygen.generation.requested"]
    assert msgspec.json.decode(asked["data"])["request"]["unit_credits"] == request.unit_credits
    outcome = await rebuild(running)
    assert outcome.is_equal, outcome.tables


async def _are_held_up(connection: Connection) -> bool:
    """Whether several wait for the trail."""
    waiting = "SELECT count(*) FROM pg_locks WHERE relation = 'trail'::regclass AND NOT granted"
    return bool(await connection.fetchval(waiting) >= 4)


async def test_the_books_go_on_while_the_trail_cannot(running: RunningLedger) -> None:
    account_id = uuid4()
    async with running.books.streams.database.transaction() as transaction:
        await transaction.connection.execute("LOCK TABLE trail IN ACCESS EXCLUSIVE MODE")
        await running.tell(Topic.IDENTITY, registered(account_id))
        await reach(running, account_id, 1)
        # More readers than any pool has connections: all of the trail wait, the books go on.
        asking = [
            asyncio.create_task(running.get("/api/admin/events", running.admin()))
            for _ in range(12)
        ]
        await eventually(partial(_are_held_up, transaction.connection))
        async with asyncio.timeout(60):
            for _ in range(20):
                await balance(running, account_id)
    assert {answer.status_code for answer in await asyncio.gather(*asking)} == {200}
    await until(running.books, 1)


async def test_the_trail_made_anew_is_the_trail_and_takes_its_place(
    running: RunningLedger,
) -> None:
    at = datetime.now(UTC)
    events = [
        event_of(completed(), time=at - DAY * (number % 3), event_id=UUID(int=number))
        for number in range(30)
    ]
    await running.send(Topic.GENERATION, *(encode(each) for each in events), b"none")
    await running.send(Topic.GENERATION, encode(events[0]), strange(id=str(uuid4())))
    before = await until(running.books, 31)
    outcome = await rebuild(running, swap=True)
    assert outcome.is_equal
    assert outcome.is_swapped
    assert await until(running.books, 31) == before
    # It goes on where it was, in the tables that are live now.
    await running.send(
        Topic.GENERATION, encode(event_of(completed(), time=at + timedelta(hours=1)))
    )
    await until(running.books, 32)
    async with running.books.streams.database.read() as connection:
        await connection.execute("DELETE FROM trail WHERE event_id = $1", UUID(int=7))
    (table,) = (await rebuild(running)).tables
    assert (table.missing, table.extra, table.changed) == (1, 0, 0)


def test_a_row_is_the_envelope() -> None:
    for message in samples():
        envelope = decode_envelope(message)
        again = row_of_envelope(envelope).envelope
        assert _attributes(again) == _attributes(envelope)
        assert REGISTRY.open(again).data == REGISTRY.open(envelope).data


def _attributes(envelope: Envelope) -> Sequence[object]:
    kept = msgspec.structs.asdict(envelope)
    return [value for name, value in kept.items() if name not in {"data", "traceparent"}]


async def test_recording_nothing_is_nothing(ledger: Ledger) -> None:
    async with ledger.streams.database.transaction() as transaction:
        await trail.record(transaction.connection, [])
    assert await rows(ledger) == []
