"""Who is served next, and how many at once."""

import asyncio
from random import Random
from typing import Any
from uuid import UUID, uuid4

from libs.events.generation import FailureCode
from services.generation.domain.capabilities import Failure
from services.generation.domain.jobs import Claim, Spent
from services.generation.domain.outcomes import ProviderFailed
from services.generation.tests.fairness import start_tags
from services.generation.tests.integration.stage import Stage, cancelled

BAD = ProviderFailed(failure=Failure(code=FailureCode.BAD_REQUEST, message="no"), spent=Spent())


async def test_a_newcomer_is_not_stuck_behind_an_account_with_500_jobs(stage: Stage) -> None:
    heavy, light = uuid4(), uuid4()
    await stage.ask(*(stage.facts(user_id=heavy) for _ in range(500)))
    await stage.claim("one", 50)
    await stage.ask(*(stage.facts(user_id=light) for _ in range(3)))
    claims = await stage.claim("one", 6)

    served = [claim.request.account_id for claim in claims]
    assert served.count(light) == 3
    assert served[0] == light or served[1] == light


async def test_an_account_that_was_idle_has_no_credit(stage: Stage) -> None:
    busy, idle = uuid4(), uuid4()
    await stage.ask(stage.facts(user_id=idle))
    await stage.ask(*(stage.facts(user_id=busy) for _ in range(40)))
    await stage.claim("one", 31)
    await stage.ask(*(stage.facts(user_id=idle) for _ in range(20)))
    claims = await stage.claim("one", 10)

    assert 4 <= [claim.request.account_id for claim in claims].count(idle) <= 6


async def test_larger_jobs_take_a_larger_share(stage: Stage) -> None:
    large, small = uuid4(), uuid4()
    await stage.ask(*(stage.facts(user_id=large, units=4) for _ in range(20)))
    await stage.ask(*(stage.facts(user_id=small, units=1) for _ in range(40)))
    claims = await stage.claim("one", 25)

    assert [claim.request.account_id for claim in claims].count(large) == 5


async def test_cancelled_jobs_give_their_share_back(stage: Stage) -> None:
    regretful, other = uuid4(), uuid4()
    unwanted = [stage.facts(user_id=regretful) for _ in range(100)]
    await stage.ask(*unwanted)
    await stage.tell(*map(cancelled, unwanted))
    await stage.ask(*(stage.facts(user_id=other) for _ in range(20)))
    await stage.ask(stage.facts(user_id=regretful))
    claims = await stage.claim("one", 2)

    assert regretful in {claim.request.account_id for claim in claims}


async def test_a_providers_limit_holds_over_all_workers(stage: Stage) -> None:
    limited = stage.with_provider(concurrency=5)
    await limited.offer()
    await limited.ask(*(limited.facts() for _ in range(40)))
    attempts = limited.attempts()
    for _ in range(6):
        taken = await asyncio.gather(*(limited.claim(f"worker {n}", 4) for n in range(4)))
        running = await stage.rows("SELECT count(*) AS jobs FROM job WHERE state = 'running'")
        assert running[0]["jobs"] <= 5
        for claim in [claim for claims in taken for claim in claims]:
            await attempts.fail(claim, BAD)
    while claims := await limited.claim("last", 4):
        for claim in claims:
            await attempts.fail(claim, BAD)

    assert len({answer.job_id for answer in await stage.answers()}) == 40
    assert len(await stage.answers()) == 40


async def test_no_job_is_claimed_twice(stage: Stage) -> None:
    await stage.ask(*(stage.facts() for _ in range(60)))
    taken = await asyncio.gather(*(stage.claim(f"worker {n}", 10) for n in range(6)))
    jobs = [claim.job_id for claims in taken for claim in claims]

    assert len(jobs) == len(set(jobs))


async def test_one_provider_cannot_hold_all_slots_against_another(stage: Stage) -> None:
    slow = await other_provider(stage, "slow")
    await slow.ask(*(slow.facts() for _ in range(50)))
    await stage.ask(*(stage.facts() for _ in range(50)))
    claims = await claim_of_both(stage, slow, 10)

    assert [claim.request.provider for claim in claims].count("slow") == 5


async def test_slots_that_a_provider_cannot_use_go_to_the_other(stage: Stage) -> None:
    slow = await other_provider(stage, "slow", concurrency=2)
    await slow.ask(*(slow.facts() for _ in range(50)))
    await stage.ask(*(stage.facts() for _ in range(50)))
    claims = await claim_of_both(stage, slow, 10)
    more = await claim_of_both(stage, slow, 10)

    assert [claim.request.provider for claim in claims].count("slow") == 2
    assert (len(claims), len(more)) == (10, 10)
    assert {claim.request.provider for claim in more} == {"test"}


async def other_provider(stage: Stage, name: str, **changes: Any) -> Stage:
    other = stage.with_provider(provider=name, **changes)
    await other.offer()
    return other


async def claim_of_both(one: Stage, other: Stage, slots: int) -> list[Claim]:
    attempts = one.attempts()
    attempts._names = [one.capabilities.provider, other.capabilities.provider]
    return (await attempts.claim("one", slots)).claims


async def test_a_claim_says_whether_jobs_may_be_left_for_what_comes_free(stage: Stage) -> None:
    limited = stage.with_provider(concurrency=3)
    await limited.offer()
    attempts = limited.attempts()
    assert not (await attempts.claim("one", 8)).is_behind, "nothing is queued"
    await limited.ask(limited.facts())
    assert not (await attempts.claim("one", 8)).is_behind, "there was room for all"
    await limited.ask(limited.facts())
    assert (await attempts.claim("one", 1)).is_behind, "every slot is taken"
    await limited.ask(limited.facts(), limited.facts())
    claimed = await attempts.claim("one", 8)
    assert (len(claimed.claims), claimed.is_behind) == (1, True), "every call is taken"
    claimed = await attempts.claim("one", 8)
    assert (len(claimed.claims), claimed.is_behind) == (0, True)


async def test_jobs_get_the_tags_of_fair_queueing_in_whatever_batches_they_come(
    stage: Stage,
) -> None:
    rnd, accounts = Random(5), [uuid4() for _ in range(3)]
    finish: dict[UUID, int] = {}
    expected: dict[UUID, int] = {}
    for _ in range(12):
        (row,) = await stage.rows("SELECT virtual_time FROM provider")
        batch = [
            stage.facts(user_id=rnd.choice(accounts), units=rnd.randint(1, 4))
            for _ in range(rnd.randint(1, 6))
        ]
        for facts in batch:
            (tag,), finish[facts.account_id] = start_tags(
                row["virtual_time"], finish.get(facts.account_id, 0), [facts.units]
            )
            expected[facts.job_id] = tag
        await stage.ask(*batch)
        await stage.claim("one", rnd.randint(0, 4))
    rows = await stage.rows("SELECT id, start_tag FROM job")
    assert {row["id"]: row["start_tag"] for row in rows} == expected
    assert len(set(expected.values())) > 5


async def test_the_claim_reads_the_queue_in_order_of_an_index(stage: Stage) -> None:
    await stage.ask(*(stage.facts(user_id=uuid4()) for _ in range(200)))
    async with stage.streams.database.read() as connection:
        await connection.execute("ANALYZE job")
        plan = await connection.fetch(
            """EXPLAIN SELECT id FROM job WHERE state = 'queued' AND provider = 'test'
               ORDER BY start_tag, id LIMIT 8 FOR UPDATE SKIP LOCKED"""
        )
    text = "\n".join(row[0] for row in plan)
    assert "job_queue" in text
    assert "Sort" not in text
