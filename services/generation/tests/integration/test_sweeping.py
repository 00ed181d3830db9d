"""Objects of attempts that lost are deleted, and never a winner's."""

from datetime import timedelta

from services.generation.domain.jobs import Claim
from services.generation.ports import ProviderRequest, ProviderResult
from services.generation.tests.integration.stage import PNG, Stage, draws


async def lost_attempt(stage: Stage) -> Claim:
    """An attempt that stored a picture and was never heard of again."""
    await stage.ask(stage.facts())
    (claim,) = await stage.claim("dead", 1)
    key = f"attempts/{claim.job_id}/{claim.attempt_id}/1.png"
    await stage.objects.put(key, PNG, content_type="image/png")
    await stage.expire_lease(claim)
    await stage.overdue().work()
    return claim


async def test_a_losers_objects_go_and_the_winners_stay(stage: Stage) -> None:
    loser = await lost_attempt(stage)
    stage.worker()
    (answer,) = await stage.answers(1)
    assert len(await stage.keys(loser.job_id)) == 2
    await stage.sweeping().work()

    (left,) = await stage.keys(loser.job_id)
    assert left.startswith(f"attempts/{loser.job_id}/{answer.attempt_id}/")
    (swept,) = await stage.rows("SELECT sweeps FROM attempt WHERE id = $1", loser.attempt_id)
    assert swept["sweeps"] == 1


async def test_a_sweep_that_was_cut_off_is_done_again(stage: Stage) -> None:
    loser = await lost_attempt(stage)
    async with stage.streams.database.transaction() as transaction:
        # As after a crash between taking the attempt and deleting its objects.
        await transaction.connection.execute(
            "UPDATE attempt SET sweep_at = $1", stage.streams.clock.now() - timedelta(seconds=1)
        )
    await stage.sweeping().work()
    assert await stage.keys(loser.job_id) == []


async def test_an_unknown_attempt_is_swept_a_second_time_much_later(stage: Stage) -> None:
    loser = await lost_attempt(stage)
    await stage.sweeping().work()
    key = f"attempts/{loser.job_id}/{loser.attempt_id}/2.png"
    await stage.objects.put(key, PNG, content_type="image/png")
    (row,) = await stage.rows("SELECT sweep_at FROM attempt WHERE id = $1", loser.attempt_id)
    assert row["sweep_at"] - stage.streams.clock.now() > timedelta(hours=23)
    async with stage.streams.database.transaction() as transaction:
        await transaction.connection.execute("UPDATE attempt SET sweep_at = now()")
    await stage.sweeping().work()

    assert await stage.keys(loser.job_id) == []
    (row,) = await stage.rows("SELECT sweep_at FROM attempt WHERE id = $1", loser.attempt_id)
    assert row["sweep_at"] is None


async def test_the_scheduler_sweeps_what_a_failed_attempt_has_stored(stage: Stage) -> None:
    async def stores_then_fails(request: ProviderRequest) -> ProviderResult:
        good = await draws(request)

        async def broken() -> object:
            yield b"not a picture at all, whatever it says"

        return ProviderResult(pictures=[*good.pictures[:1], broken()])  # type: ignore[list-item]

    stage.provider.script = stores_then_fails
    stage.lease = timedelta(seconds=0.5)  # how often the scheduler looks
    facts = stage.facts(units=2)
    stage.worker()
    stage.scheduler()
    await stage.ask(facts)
    await stage.answers(1)
    await stage.until("SELECT FROM attempt WHERE sweeps >= 1")
    assert await stage.keys(facts.job_id) == []
