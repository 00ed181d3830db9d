"""Finished jobs -> usage rows, on a real database."""

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import msgspec
import pytest
from asyncpg import CheckViolationError
from asyncpg.connection import LoggedQuery

from libs.events.billing import UsageOutcome, UsageRecorded
from libs.events.envelope import Event
from libs.events.generation import FailureCode
from libs.events.payload import Payload
from libs.events.registry import REGISTRY
from libs.events.testing import NOW, completed, event, failed, request_facts
from libs.runtime.bulk import COPY_ROWS_MIN
from libs.runtime.paging import NEWEST, Position
from libs.runtime.testing import Streams
from services.billing import consumers
from services.billing.domain.usage import Usage, usage_id, usage_of
from services.billing.store import usage as store
from services.billing.store.usage import Filter


async def handle(streams: Streams, *events: Event[Payload]) -> None:
    async with streams.database.transaction() as transaction:
        await consumers.record(transaction, events)


async def recorded(streams: Streams) -> list[tuple[Event[Payload], UsageRecorded]]:
    told = [REGISTRY.decode(encoded) for _, encoded in await streams.published()]
    return [(each, each.data) for each in told if isinstance(each.data, UsageRecorded)]


async def usage_rows(streams: Streams) -> list[Usage]:
    async with streams.database.read() as connection:
        return await store.list_usage(connection, Filter(), NEWEST, 1000)


async def test_a_finished_job_is_recorded_whole_and_confirmed(streams: Streams) -> None:
    data = completed(
        request_facts(units=2, workspace_id=uuid4(), account_id=uuid4()),
        input_tokens=1,
        output_tokens=2,
        provider_cost_microusd=3,
    )
    told = event(data)

    await handle(streams, told)

    assert await usage_rows(streams) == [usage_of(told)]
    ((confirmation, answer),) = await recorded(streams)
    assert answer == UsageRecorded(
        job_id=data.job_id,
        account_id=data.account_id,
        usage_id=usage_id(data.job_id),
        outcome=UsageOutcome.COMPLETED,
        credits=6,
    )
    assert confirmation.causation_id == told.id
    assert confirmation.correlation_id == told.correlation_id


async def test_a_failed_job_is_recorded_for_nothing(streams: Streams) -> None:
    told = event(failed(code=FailureCode.CANCELLED, provider_cost_microusd=7))
    await handle(streams, told)
    assert await usage_rows(streams) == [usage_of(told)]
    ((_, answer),) = await recorded(streams)
    assert (answer.outcome, answer.credits) == (UsageOutcome.FAILED, 0)


async def test_an_unreadable_request_is_recorded_and_shown_to_its_account(
    streams: Streams,
) -> None:
    data = msgspec.structs.replace(failed(), request=None, code=FailureCode.UNPROCESSABLE)
    told = event(data)

    await handle(streams, told)

    async with streams.database.read() as connection:
        rows = await store.list_usage(connection, Filter(owner_id=data.account_id), NEWEST, 10)
    assert rows == [usage_of(told)]
    ((_, answer),) = await recorded(streams)
    assert answer.account_id == data.account_id


async def test_a_job_told_again_under_a_new_event_id_changes_nothing(streams: Streams) -> None:
    data = completed()
    await handle(streams, event(data))
    before = await usage_rows(streams)

    late = failed(data.request, code=FailureCode.TIMEOUT)
    await handle(streams, event(data, time=NOW + timedelta(seconds=1)), event(late))

    assert await usage_rows(streams) == before
    assert len(await recorded(streams)) == 1


async def test_a_batch_records_each_of_its_jobs_once(streams: Streams) -> None:
    known = completed()
    await handle(streams, event(known))
    jobs = [completed(), failed(), completed()]

    await handle(streams, *map(event, [jobs[0], known, jobs[1], jobs[0], jobs[2], jobs[1]]))

    answers = [answer.job_id for _, answer in await recorded(streams)]
    assert answers == [known.job_id, *(job.job_id for job in jobs)]
    assert {row.job_id for row in await usage_rows(streams)} == set(answers)


async def test_a_batch_costs_one_statement_however_long_it_is(streams: Streams) -> None:
    async def statements(jobs: int) -> int:
        heard: list[LoggedQuery] = []
        batch = [event(completed()) for _ in range(jobs)]
        async with streams.database.transaction() as transaction:
            with transaction.connection.query_logger(heard.append):
                await consumers.record(transaction, batch)
        return len(heard)

    await statements(1)  # the driver looks up each type once per connection
    assert await statements(1) == await statements(200) == 1


async def test_rows_made_again_from_the_same_events_are_equal(streams: Streams) -> None:
    events = [event(completed()), event(failed()), event(completed())]
    await handle(streams, *events)
    once = await usage_rows(streams)
    async with streams.database.transaction() as transaction:
        await transaction.connection.execute("TRUNCATE usage")

    for each in events:
        await handle(streams, each)

    assert await usage_rows(streams) == once


async def test_a_negative_delivery_is_refused(streams: Streams) -> None:
    with pytest.raises(CheckViolationError):
        await handle(streams, event(completed(delivered_units=-1)))
    assert await recorded(streams) == []


async def test_pages_stay_true_while_rows_are_added(streams: Streams) -> None:
    user_id = uuid4()

    async def add(seconds: int, count: int) -> None:
        at = NOW + timedelta(seconds=seconds)
        jobs = [completed(request_facts(user_id=user_id)) for _ in range(count)]
        await handle(streams, *(event(job, time=at) for job in jobs))

    # Equal times: only the id can order them.
    await add(0, count=5)
    await add(-1, count=2)
    expected = {row.id for row in await usage_rows(streams)}

    seen: list[UUID] = []
    position, mine = NEWEST, Filter(owner_id=user_id)
    async with streams.database.read() as connection:
        while rows := await store.list_usage(connection, mine, position, 2):
            seen += [row.id for row in rows]
            position = Position(rows[-1].occurred_at, rows[-1].id)
            await add(60, count=1)

    assert len(seen) == len(expected)
    assert set(seen) == expected


async def test_many_jobs_are_recorded_once_although_some_are_known(streams: Streams) -> None:
    """More than go by COPY, which knows no conflicts; and two writers of them at once."""
    told = [event(completed()) for _ in range(COPY_ROWS_MIN + 50)]
    await handle(streams, *told[10:20])
    await asyncio.gather(handle(streams, *told), handle(streams, *reversed(told)))
    rows = await usage_rows(streams)
    assert {row.job_id: row for row in rows} == {
        usage.job_id: usage for each in told if (usage := usage_of(each)) is not None
    }
    answers = await recorded(streams)
    assert sorted(answer.job_id for _, answer in answers) == sorted(row.job_id for row in rows)
    await handle(streams, *told)
    assert len(await recorded(streams)) == len(told)
