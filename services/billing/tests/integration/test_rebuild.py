"""Usage rows made anew from the streams, by whoever asks and by the verifier in the background."""

import asyncio
from collections.abc import Sequence
from random import Random
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry

from libs.events.envelope import Event
from libs.events.names import EventType
from libs.events.payload import Payload
from libs.events.testing import completed, event, failed, request_facts
from libs.runtime import verifier
from libs.runtime.rebuild.projection import RebuildError
from libs.runtime.testing import rebuilt
from libs.runtime.verifier import MakeWay, Verifier, VerifyMetrics
from services.billing.rebuild import PROJECTION
from services.billing.tests.integration.conftest import RunningBilling

DEADLINE_SECONDS = 60.0


def history(random: Random, jobs: int) -> list[Event[Payload]]:
    """Jobs that ended, some told again, some under another id, some with another end."""
    told: list[Event[Payload]] = []
    for _ in range(jobs):
        request = request_facts(units=random.randint(1, 3))
        end = failed(request) if random.random() < 0.3 else completed(request)
        told.append(event(end))
        chance = random.random()
        if chance < 0.15:
            told.append(told[-1])
        elif chance < 0.3:
            told.append(event(end))
        elif chance < 0.4:
            told.append(event(failed(request)))
    return told


async def recorded(billing: RunningBilling, events: Sequence[Event[Payload]]) -> None:
    """Tell and wait until every job has its row."""
    await billing.tell(*events)
    jobs = {each.subject for each in events}
    async with asyncio.timeout(DEADLINE_SECONDS):
        while len(await _rows(billing)) < len(jobs):
            await asyncio.sleep(0.05)


async def _rows(billing: RunningBilling) -> list[UUID]:
    async with billing.streams.database.read() as connection:
        rows = await connection.fetch("SELECT job_id FROM usage ORDER BY job_id")
    return [row["job_id"] for row in rows]


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def watching(billing: RunningBilling, registry: CollectorRegistry) -> Verifier:
    streams = billing.streams
    return Verifier(
        PROJECTION,
        dsn=streams.dsn,
        bus=billing.bus,
        clock=streams.clock,
        random=streams.random,
        metrics=VerifyMetrics(registry, streams.clock),
        interval_seconds=3600,
    )


async def test_repeats_and_contradictions_in_the_log_are_folded_as_they_were_live(
    billing: RunningBilling,
) -> None:
    events = history(Random(1), 120)
    assert {each.data.event_type for each in events} == {
        EventType.GENERATION_COMPLETED,
        EventType.GENERATION_FAILED,
    }
    await recorded(billing, events)
    outcome = await rebuilt(PROJECTION, billing.streams.dsn, billing.bus)
    assert outcome.is_equal, outcome.tables
    assert [each.live_rows for each in outcome.tables] == [120, 0, 0, 0]


async def test_the_background_verifier_tells_of_drift_and_of_its_end(
    billing: RunningBilling, watching: Verifier, registry: CollectorRegistry
) -> None:
    await recorded(billing, history(Random(2), 30))

    def drift() -> float | None:
        return registry.get_sample_value("daygen_verify_drift_rows", {"table": "usage"})

    assert drift() is None
    assert (await watching.verify()).is_equal
    assert drift() == 0
    async with billing.streams.database.read() as connection:
        await connection.execute("UPDATE usage SET credits = credits + 1 WHERE credits > 0")
        edited = await connection.fetchval("SELECT count(*) FROM usage WHERE credits > 0")
    assert not (await watching.verify()).is_equal
    assert drift() == edited > 0
    age = registry.get_sample_value("daygen_verify_age_seconds")
    assert age is not None
    assert age < DEADLINE_SECONDS
    healed = await rebuilt(
        PROJECTION, billing.streams.dsn, billing.bus, swap=True, accept_differences=True
    )
    assert healed.is_swapped
    await watching.verify()
    assert drift() == 0


async def test_the_background_verifier_makes_way_for_an_operator_and_for_no_replica(
    billing: RunningBilling, watching: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    await recorded(billing, history(Random(3), 60))
    monkeypatch.setattr(verifier, "RECORDS_MAX", 1)
    monkeypatch.setattr(verifier, "DUTY", 0.02)
    began = asyncio.Event()

    async def verify() -> None:
        began.set()
        await watching.verify()

    task = asyncio.create_task(verify())
    await began.wait()
    await _until_at_work(billing)
    with pytest.raises(RebuildError, match="Another rebuild of billing is at work"):
        await watching.verify()
    assert not task.done()
    outcome = await rebuilt(PROJECTION, billing.streams.dsn, billing.bus)
    assert outcome.is_equal
    with pytest.raises(MakeWay):
        await task


async def _until_at_work(billing: RunningBilling) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS), billing.streams.database.read() as connection:
        while not await connection.fetchval(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted"
            " AND objsubid = 1 AND pid IN (SELECT pid FROM pg_stat_activity"
            " WHERE application_name = 'daygen-rebuild-billing'"
            " AND datname = current_database()))"
        ):
            await asyncio.sleep(0.02)
