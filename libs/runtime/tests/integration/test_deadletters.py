"""Redrive and discard on real Kafka and Postgres: once, in order, beside a working consumer."""

import asyncio
from collections.abc import Sequence
from uuid import UUID, uuid4

import pytest

from libs.events.bus import KafkaBus
from libs.events.envelope import Event, encode
from libs.events.names import EventType, Topic
from libs.events.operations import MessageDiscarded, MessageParked, MessageRedriven
from libs.events.payload import Payload
from libs.events.registry import REGISTRY
from libs.events.testing import key_of
from libs.events.transport import IncomingMessage, Partition
from libs.runtime.consumer import Handler
from libs.runtime.db import Transaction
from libs.runtime.deadletters import (
    DeadLetters,
    Discarded,
    DiscardRefusedError,
    Filter,
    ParkedBehindError,
    ParkedNotFoundError,
    ParkedResolvedError,
    ParkedRow,
    ReasonMissingError,
    Settle,
    refuse,
)
from libs.runtime.errors import Conflict
from libs.runtime.testing import Streams
from libs.runtime.tests.integration.test_consumer import (
    APPLIED,
    _Seeks,
    consumer,
    registered,
    scalar,
)
from libs.runtime.tests.integration.test_consumer import record as poisoned

ADMIN = uuid4()
OPEN = "SELECT count(*) FROM parked WHERE resolved_at IS NULL"


async def healed(transaction: Transaction, events: Sequence[Event[Payload]]) -> None:
    """The handler after its repair: poison is no more."""
    await transaction.connection.execute(
        "INSERT INTO applied (event_id, user_id) SELECT * FROM unnest($1::uuid[], $2::uuid[])",
        [event.id for event in events],
        [UUID(event.subject) for event in events],
    )


async def nothing(_transaction: Transaction, _discarded: Discarded) -> None: ...


def letters(streams: Streams, handler: Handler = healed, settle: Settle = nothing) -> DeadLetters:
    return DeadLetters(
        types=[EventType.USER_REGISTERED],
        handler=handler,
        settle=settle,
        database=streams.database,
        clock=streams.clock,
    )


class Log:
    """One partition, of which a consumer has been given what is said."""

    def __init__(self, streams: Streams, bus: KafkaBus) -> None:
        self.partition = Partition(Topic.IDENTITY.value, uuid4(), 0)
        self.member = consumer(streams, bus, poisoned)
        self.offset = 0

    async def open(self) -> None:
        await self.member.place({self.partition: range(1000)})

    async def give(self, *messages: Event[Payload] | bytes) -> None:
        batch = []
        for each in messages:
            encoded = each if isinstance(each, bytes) else encode(each)
            batch.append(IncomingMessage(self.partition, self.offset, key_of(encoded), encoded))
            self.offset += 1
        await self.member.consume(_Seeks(), batch)


@pytest.fixture
async def log(streams: Streams, bus: KafkaBus) -> Log:
    log = Log(streams, bus)
    await log.open()
    return log


async def chain(streams: Streams, log: Log, length: int = 3) -> list[Event[Payload]]:
    """A poison event and what follows it under its key."""
    poison = registered(streams, role="POISON")
    events = [
        poison,
        *(registered(streams, user_id=UUID(poison.subject)) for _ in range(length - 1)),
    ]
    await log.give(*events)
    return events


async def open_rows(streams: Streams) -> Sequence[ParkedRow]:
    return await letters(streams).find(Filter(), after=0, limit=100)


async def told(streams: Streams) -> list[Payload]:
    return [
        REGISTRY.decode(encoded).data for event_id, encoded in await streams.published() if event_id
    ]


async def applied(streams: Streams) -> list[UUID]:
    async with streams.database.read() as connection:
        rows = await connection.fetch("SELECT event_id FROM applied ORDER BY place")
    return [row["event_id"] for row in rows]


async def test_a_redriven_row_and_those_behind_it_are_applied_in_order(
    streams: Streams, log: Log
) -> None:
    events = await chain(streams, log)
    rows = await open_rows(streams)
    assert {row.head_id for row in rows} == {rows[0].parked_id}
    steps = await letters(streams).redrive(rows[0].parked_id, actor=ADMIN, is_dry_run=False)
    assert [step.outcome for step in steps] == ["applied"] * 3
    assert await applied(streams) == [event.id for event in events]
    redriven = [each for each in await told(streams) if isinstance(each, MessageRedriven)]
    assert [each.parked_id for each in redriven] == [row.parked_id for row in rows]
    assert {each.actor for each in redriven} == {ADMIN}
    await log.give(registered(streams, user_id=UUID(events[0].subject)))
    assert await scalar(streams, APPLIED) == 4  # the key is free again


async def test_a_dry_run_says_what_would_happen_and_changes_nothing(
    streams: Streams, log: Log
) -> None:
    await chain(streams, log)
    before, told_before = await open_rows(streams), await told(streams)
    head = before[0].parked_id
    tried = await letters(streams).redrive(head, actor=ADMIN, is_dry_run=True)
    assert [step.outcome for step in tried] == ["applied"] * 3
    tried = await letters(streams, poisoned).discard(
        head, actor=ADMIN, reason="why", is_dry_run=True
    )
    assert [step.outcome for step in tried] == ["discarded", "applied", "applied"]
    assert await open_rows(streams) == before
    assert await told(streams) == told_before
    assert await scalar(streams, APPLIED) == 0


async def test_what_is_refused_again_stays_parked_with_its_new_reason_and_blocks_the_rest(
    streams: Streams, log: Log
) -> None:
    events = await chain(streams, log)

    async def second_fails(transaction: Transaction, batch: Sequence[Event[Payload]]) -> None:
        await healed(transaction, batch)
        if batch[0].id == events[1].id:
            raise LookupError("another fault")

    head = (await open_rows(streams))[0].parked_id
    steps = await letters(streams, second_fails).redrive(head, actor=ADMIN, is_dry_run=False)
    assert [step.outcome for step in steps] == ["applied", "still_parked"]
    left = await open_rows(streams)
    assert [(row.event_id, row.reason) for row in left] == [
        (events[1].id, "LookupError"),
        (events[2].id, "behind"),
    ]
    assert await applied(streams) == [events[0].id]


async def test_two_redrives_at_once_apply_everything_once(streams: Streams, log: Log) -> None:
    await chain(streams, log)
    head = (await open_rows(streams))[0].parked_id

    async def slow(transaction: Transaction, batch: Sequence[Event[Payload]]) -> None:
        await healed(transaction, batch)
        await asyncio.sleep(0.1)

    both = letters(streams, slow)
    results = await asyncio.gather(
        *(both.redrive(head, actor=ADMIN, is_dry_run=False) for _ in range(2)),
        return_exceptions=True,
    )
    assert sorted(type(each).__name__ for each in results) == ["ParkedResolvedError", "list"]
    assert await scalar(streams, APPLIED) == 3


async def test_a_consumer_with_the_same_key_waits_for_the_redrive_and_follows_it(
    streams: Streams, log: Log
) -> None:
    events = await chain(streams, log)
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def held(transaction: Transaction, batch: Sequence[Event[Payload]]) -> None:
        await healed(transaction, batch)
        reached.set()
        await go_on.wait()

    head = (await open_rows(streams))[0].parked_id
    redrive = asyncio.create_task(
        letters(streams, held).redrive(head, actor=ADMIN, is_dry_run=False)
    )
    await asyncio.wait_for(reached.wait(), 10)
    later = registered(streams, user_id=UUID(events[0].subject))
    consuming = asyncio.create_task(log.give(later))
    await asyncio.sleep(0.2)
    assert not consuming.done()
    go_on.set()
    await asyncio.gather(redrive, consuming)
    assert await applied(streams) == [event.id for event in (*events, later)]
    assert await scalar(streams, OPEN) == 0  # nothing is stranded behind a row that is gone


async def test_a_redrive_waits_for_a_consumer_that_parks_behind_and_takes_that_along(
    streams: Streams, log: Log
) -> None:
    events = await chain(streams, log)
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def held(transaction: Transaction, batch: Sequence[Event[Payload]]) -> None:
        await poisoned(transaction, batch)
        reached.set()
        await go_on.wait()

    log.member._handler = held
    later = registered(streams, user_id=UUID(events[0].subject))
    consuming = asyncio.create_task(log.give(registered(streams), later))
    await asyncio.wait_for(reached.wait(), 10)
    head = (await open_rows(streams))[0].parked_id
    redrive = asyncio.create_task(letters(streams).redrive(head, actor=ADMIN, is_dry_run=False))
    await asyncio.sleep(0.2)
    assert not redrive.done()
    go_on.set()
    await consuming
    assert [step.outcome for step in await redrive] == ["applied"] * 4
    assert (await applied(streams))[-1] == later.id
    assert await scalar(streams, OPEN) == 0


@pytest.mark.parametrize("steps_before", [0, 1, 2])
async def test_a_redrive_that_dies_between_its_steps_leaves_everything_as_it_was(
    streams: Streams, log: Log, steps_before: int
) -> None:
    events = await chain(streams, log)
    before = await open_rows(streams)

    async def dies(transaction: Transaction, batch: Sequence[Event[Payload]]) -> None:
        await healed(transaction, batch)
        if batch[0].id == events[steps_before].id:
            await transaction.connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(Exception, match=r"database|terminat|closed"):
        await letters(streams, dies).redrive(before[0].parked_id, actor=ADMIN, is_dry_run=False)
    assert await open_rows(streams) == before
    assert await scalar(streams, APPLIED) == 0
    await letters(streams).redrive(before[0].parked_id, actor=ADMIN, is_dry_run=False)
    assert await applied(streams) == [event.id for event in events]


async def test_what_could_not_be_read_is_applied_once_by_the_release_that_can(
    streams: Streams, log: Log
) -> None:
    event = registered(streams)
    newer = encode(event).replace(b'"eventversion":1', b'"eventversion":9')
    await log.give(newer)
    row = (await open_rows(streams))[0]
    steps = await letters(streams).redrive(row.parked_id, actor=ADMIN, is_dry_run=False)
    assert [(step.outcome, step.reason) for step in steps] == [("still_parked", "newer_version")]
    async with streams.database.read() as connection:  # as if this release knew the version
        await connection.execute("UPDATE parked SET encoded = $1", encode(event))
    await letters(streams).redrive(row.parked_id, actor=ADMIN, is_dry_run=False)
    await log.give(event)  # delivered again
    assert await applied(streams) == [event.id]


async def test_what_was_handled_under_another_offset_is_not_applied_again(
    streams: Streams, log: Log
) -> None:
    event = registered(streams)
    await log.give(b"{", event)
    async with streams.database.read() as connection:
        await connection.execute("UPDATE parked SET encoded = $1", encode(event))
    row = (await open_rows(streams))[0]
    steps = await letters(streams).redrive(row.parked_id, actor=ADMIN, is_dry_run=False)
    assert [step.outcome for step in steps] == ["repeated"]
    assert await applied(streams) == [event.id]


async def test_a_discard_says_why_and_frees_those_behind(streams: Streams, log: Log) -> None:
    events = await chain(streams, log)
    head = (await open_rows(streams))[0].parked_id
    await letters(streams).discard(head, actor=ADMIN, reason=" sent twice ", is_dry_run=False)
    assert await applied(streams) == [event.id for event in events[1:]]
    (discarded,) = [each for each in await told(streams) if isinstance(each, MessageDiscarded)]
    assert (discarded.parked_id, discarded.reason, discarded.actor) == (head, "sent twice", ADMIN)
    row = await letters(streams).get(head)
    assert (row.resolution, row.note, row.resolved_by) == ("discarded", "sent twice", ADMIN)


async def test_refusals_say_what_to_do_and_change_nothing(streams: Streams, log: Log) -> None:
    await chain(streams, log)
    before = await open_rows(streams)
    head, behind, _ = (row.parked_id for row in before)
    sentence = "An account needs its opening: redrive it."
    guarded = letters(streams, settle=refuse({EventType.USER_REGISTERED: sentence}))
    with pytest.raises(DiscardRefusedError, match=sentence):
        await guarded.discard(head, actor=ADMIN, reason="x", is_dry_run=False)
    with pytest.raises(ReasonMissingError, match="Give a reason"):
        await guarded.discard(head, actor=ADMIN, reason="  ", is_dry_run=False)
    with pytest.raises(ParkedBehindError, match=str(head)):
        await guarded.redrive(behind, actor=ADMIN, is_dry_run=False)
    with pytest.raises(ParkedNotFoundError, match="list them"):
        await guarded.redrive(uuid4(), actor=ADMIN, is_dry_run=False)
    assert await open_rows(streams) == before
    await guarded.redrive(head, actor=ADMIN, is_dry_run=False)
    with pytest.raises(ParkedResolvedError, match="redriven"):
        await guarded.redrive(head, actor=ADMIN, is_dry_run=False)


async def test_rows_are_found_by_type_reason_and_time(streams: Streams, log: Log) -> None:
    await chain(streams, log, length=2)
    await log.give(b"{")
    found = letters(streams)
    rows = await open_rows(streams)
    since = rows[-1].parked_at
    by_reason = await found.find(Filter(reason="behind"), after=0, limit=9)
    by_type = await found.find(Filter(event_type="daygen.user.registered"), after=0, limit=9)
    by_time = await found.find(Filter(since=since), after=0, limit=9)
    until = await found.find(Filter(until=since), after=0, limit=9)
    assert [row.parked_id for row in by_reason] == [rows[1].parked_id]
    assert [row.parked_id for row in by_type] == [row.parked_id for row in rows[:2]]
    assert [row.reason for row in by_time] == ["malformed"]
    assert len(until) == 2
    assert [type(each) for each in await told(streams)] == [MessageParked] * 3


async def test_a_fault_that_passes_is_not_taken_for_a_refusal(streams: Streams, log: Log) -> None:
    await chain(streams, log)
    before = await open_rows(streams)

    async def unlucky(_transaction: Transaction, _batch: Sequence[Event[Payload]]) -> None:
        raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError):
        await letters(streams, unlucky).redrive(before[0].parked_id, actor=ADMIN, is_dry_run=False)
    assert await open_rows(streams) == before
    assert before[0].reason == Conflict.code
