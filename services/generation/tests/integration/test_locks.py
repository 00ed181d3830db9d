"""Locks of the queue: taken in one order by everybody, so that no deadlock sends anybody away."""

import asyncio

from services.generation.tests.integration.stage import DEADLINE_SECONDS, Stage

LOCK = "SELECT FROM job WHERE id = $1 FOR UPDATE"
WAITS = """
    SELECT FROM pg_stat_activity
     WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%job%'
"""


async def test_a_renewal_and_a_settlement_of_the_same_jobs_wait_for_each_other(
    stage: Stage,
) -> None:
    await stage.ask(stage.facts(), stage.facts())
    first, second = sorted(await stage.claim("one", 2), key=lambda claim: claim.job_id)
    await stage.expire_lease(first)
    await stage.rows(
        "UPDATE job SET deadline_at = $2 WHERE id = $1", second.job_id, stage.streams.clock.now()
    )

    async with asyncio.timeout(DEADLINE_SECONDS):
        async with stage.streams.database.transaction() as renewing:
            await renewing.connection.execute(LOCK, first.job_id)
            settling = asyncio.create_task(stage.overdue().work())
            await stage.until(WAITS)
            await renewing.connection.execute(LOCK, second.job_id)
        await settling

    assert await stage.state(first.job_id) == "queued"
    assert await stage.state(second.job_id) == "failed"
