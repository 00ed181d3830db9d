"""What an older release has parked as too new, when the first release comes that knows it."""

import asyncio
from collections.abc import Sequence
from typing import ClassVar
from uuid import UUID

import pytest

from libs.events.bus import KafkaBus
from libs.events.envelope import Event, encode
from libs.events.identity import UserRegistered
from libs.events.names import Service
from libs.events.operations import MessageRedriven
from libs.events.payload import Payload
from libs.events.registry import EVENTS, REGISTRY, Registry
from libs.runtime.clock import SystemClock
from libs.runtime.consumer import Handler
from libs.runtime.db import Transaction
from libs.runtime.deadletters import DeadLetters
from libs.runtime.intake import Reader
from libs.runtime.redriving import Redriving
from libs.runtime.testing import Streams
from libs.runtime.tests.integration.test_consumer import registered
from libs.runtime.tests.integration.test_deadletters import (
    Log,
    applied,
    healed,
    nothing,
    open_rows,
    told,
)


class Newer(UserRegistered, frozen=True, kw_only=True):
    event_version: ClassVar[int] = 9


TYPE = UserRegistered.event_type
IGNORANT = Registry([model for model in EVENTS if model is not UserRegistered])
LEARNED = Registry([Newer], {(TYPE, version): lambda data: data for version in range(1, 9)})


class OldLog(Log):
    """Read by a release that does not know the type yet."""

    async def open(self) -> None:
        self.member._reader = Reader(IGNORANT, [TYPE], SystemClock())
        await super().open()


@pytest.fixture
async def log(streams: Streams, bus: KafkaBus) -> Log:
    log = Log(streams, bus)
    await log.open()
    return log


@pytest.fixture
async def old_log(streams: Streams, bus: KafkaBus) -> Log:
    log = OldLog(streams, bus)
    await log.open()
    return log


def newer(event: Event[Payload]) -> bytes:
    return encode(event).replace(b'"eventversion":1', b'"eventversion":9')


def release(
    streams: Streams, registry: Registry = REGISTRY, handler: Handler = healed
) -> Redriving:
    letters = DeadLetters(
        types=[TYPE],
        handler=handler,
        settle=nothing,
        database=streams.database,
        clock=streams.clock,
        registry=registry,
    )
    return Redriving(
        letters,
        service=Service.BILLING,
        database=streams.database,
        clock=streams.clock,
        registry=registry,
    )


async def chain(streams: Streams, log: Log, length: int = 3) -> list[Event[Payload]]:
    first = registered(streams)
    events = [first, *(registered(streams, user_id=UUID(first.subject)) for _ in range(length - 1))]
    await log.give(*events)
    return events


async def test_the_first_release_that_knows_a_type_redrives_it_in_order(
    streams: Streams, old_log: Log
) -> None:
    one, other = await chain(streams, old_log), await chain(streams, old_log)
    rows = await open_rows(streams)
    assert {row.reason for row in rows} == {"unknown_type"}
    assert await release(streams).redrive_known() == 2
    assert await applied(streams) == [event.id for event in (*one, *other)]
    assert await open_rows(streams) == []
    redriven = [each for each in await told(streams) if isinstance(each, MessageRedriven)]
    assert [each.parked_id for each in redriven] == [row.parked_id for row in rows]
    assert {each.actor for each in redriven} == {Service.BILLING.actor_id}


async def test_the_first_release_that_knows_a_version_redrives_it_and_what_follows(
    streams: Streams, log: Log
) -> None:
    first = registered(streams)
    behind = registered(streams, user_id=UUID(first.subject))
    await log.give(newer(first), behind)
    assert [row.reason for row in await open_rows(streams)] == ["newer_version", "behind"]
    assert await release(streams).redrive_known() == 0
    assert await applied(streams) == []

    await release(streams, LEARNED).redrive_known()
    assert await applied(streams) == [first.id, behind.id]


async def test_a_release_that_does_not_know_it_either_changes_and_tells_nothing(
    streams: Streams, old_log: Log
) -> None:
    await chain(streams, old_log)
    before, told_before = await open_rows(streams), await told(streams)
    ignorant = release(streams, IGNORANT)
    assert await ignorant.redrive_known() == await ignorant.redrive_known() == 0
    assert await open_rows(streams) == before
    assert await told(streams) == told_before


async def test_two_replicas_that_start_together_apply_everything_once(
    streams: Streams, old_log: Log
) -> None:
    events = await chain(streams, old_log, 5)

    async def slow(transaction: Transaction, batch: Sequence[Event[Payload]]) -> None:
        await healed(transaction, batch)
        await asyncio.sleep(0.02)

    counts = await asyncio.gather(
        *(release(streams, handler=slow).redrive_known() for _ in range(2))
    )
    assert sum(counts) == 1
    assert await applied(streams) == [event.id for event in events]


async def test_what_is_parked_for_another_reason_is_left_to_administrators(
    streams: Streams, log: Log
) -> None:
    await log.give(registered(streams, role="POISON"), b"{")
    assert await release(streams).redrive_known() == 0
    assert len(await open_rows(streams)) == 2


async def test_what_this_release_refuses_for_good_is_told_once_and_not_tried_again(
    streams: Streams, old_log: Log
) -> None:
    await old_log.give(
        encode(registered(streams)).replace(b'"signup_credits":1', b'"signup_credits":"1"')
    )
    starting = release(streams)
    assert await starting.redrive_known() == 1
    assert [row.reason for row in await open_rows(streams)] == ["invalid_data"]
    assert await starting.redrive_known() == 0
    redriven = [each for each in await told(streams) if isinstance(each, MessageRedriven)]
    assert [each.outcome for each in redriven] == ["still_parked"]


async def test_a_release_that_dies_in_the_middle_leaves_the_rest_to_its_successor(
    streams: Streams, old_log: Log
) -> None:
    one, other = await chain(streams, old_log), await chain(streams, old_log)

    async def dies(transaction: Transaction, batch: Sequence[Event[Payload]]) -> None:
        await healed(transaction, batch)
        if batch[0].id == other[1].id:
            await transaction.connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(Exception, match=r"database|terminat|closed"):
        await release(streams, handler=dies).redrive_known()
    assert await applied(streams) == [event.id for event in one]
    assert await release(streams).redrive_known() == 1
    assert await applied(streams) == [event.id for event in (*one, *other)]
