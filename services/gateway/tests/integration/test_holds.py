"""Open holds are counted, and one that should have closed is an alarm."""

import asyncio
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from structlog.testing import capture_logs

from libs.runtime.testing import Streams
from services.gateway.handlers.holds import MARGIN, HoldWatch
from services.gateway.tests.integration.conftest import RunningGateway

DEADLINE_SECONDS = 60.0
DEADLINE = timedelta(minutes=10)  # of a job, as the settings have it


async def aged(gateway: RunningGateway, job_id: object, age: timedelta) -> None:
    """As if the job had been admitted so long ago."""
    await gateway.run(
        "UPDATE hold SET opened_at = opened_at - $2::interval WHERE subject_id = $1", job_id, age
    )
    await gateway.run(
        "UPDATE job SET deadline_at = deadline_at - $2::interval WHERE job_id = $1", job_id, age
    )


@pytest.mark.parametrize(
    ("age", "overdue"),
    [(DEADLINE, 0), (DEADLINE + MARGIN / 2, 0), (DEADLINE + MARGIN + timedelta(seconds=1), 1)],
)
async def test_a_hold_is_overdue_once_its_job_should_have_ended(
    gateway: RunningGateway, streams: Streams, age: timedelta, overdue: int
) -> None:
    registry = CollectorRegistry()
    watch = HoldWatch(database=streams.database, clock=streams.clock, registry=registry)
    assert (await watch.measure()).open == 0
    ada = await gateway.sign_up()
    old, _new, closed = [await ada.start_job() for _ in range(3)]
    await aged(gateway, old, age)
    await aged(gateway, closed, 2 * age)
    await gateway.run("UPDATE hold SET closed_at = now() WHERE subject_id = $1", closed)
    with capture_logs() as lines:
        measured = await watch.measure()
        await watch.measure()  # the same trouble is not told again at once
    assert (measured.open, measured.overdue) == (2, overdue)
    told = [line for line in lines if line["event"] == "holds_overdue"]
    assert len(told) == overdue
    text = generate_latest(registry).decode()
    assert "daygen_open_holds 2.0" in text
    assert f"daygen_overdue_holds {overdue:.1f}" in text
    (shown,) = [line for line in text.splitlines() if line.startswith("daygen_open_hold_age")]
    assert age.total_seconds() <= float(shown.split()[1]) < age.total_seconds() + 30


async def test_the_gateway_itself_shows_them(gateway: RunningGateway) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):  # counted first a moment after the start
        while "daygen_overdue_holds 0.0" not in (await gateway.client.get("/metrics")).text:
            await asyncio.sleep(0.05)
