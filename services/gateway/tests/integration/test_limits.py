"""Limits, caps, throttles and bans through HTTP, also over several replicas at once."""

import asyncio
from collections import Counter
from datetime import datetime
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from libs.events.identity import LimitChanged, UserBanned, UserUnbanned
from libs.events.testing import completed, failed
from services.gateway.tests.integration.conftest import Person, RunningGateway, Start
from services.gateway.tests.integration.listening import follow
from services.gateway.tests.integration.test_admission import BODY, assert_problem, held, requested
from services.gateway.tests.stories import captured, released

PLENTY = {"flood_limit_per_minute": 100_000, "signup_credits": 10_000}
WHY = {"reason": "a test"}


def limit_of(kind: str, subject: object) -> str:
    return f"/api/admin/limits/{kind}/{subject}"


async def flood(gateways: list[RunningGateway], people: list[Person], times: int) -> Counter[int]:
    """So many requests of each of them at once, in turns over the replicas."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=100)) as session:

        async def status(place: int, person: Person) -> int:
            url = gateways[place % len(gateways)].url
            async with session.post(f"{url}/api/jobs", json=BODY, headers=person.headers) as answer:
                return answer.status

        return Counter(
            await asyncio.gather(
                *(status(place, person) for place in range(times) for person in people)
            )
        )


async def test_two_replicas_together_never_pass_a_users_limit(start_gateway: Start) -> None:
    changes = {**PLENTY, "rate_limit_per_minute": 40}
    replicas = list(await asyncio.gather(start_gateway(**changes), start_gateway(**changes)))
    ada = await replicas[0].sign_up()
    began = asyncio.get_running_loop().time()
    statuses = await flood(replicas, [ada], 300)
    took = asyncio.get_running_loop().time() - began
    assert set(statuses) == {202, 429}
    assert 40 <= statuses[202] <= 40 + took * 40 / 60 + 1
    assert await held(replicas[0], ada) == (statuses[202], statuses[202])
    assert len(await requested(replicas[0])) == statuses[202]


async def test_a_providers_limit_is_shared_by_all_users_on_all_replicas(
    start_gateway: Start,
) -> None:
    changes = {**PLENTY, "provider_rate_limit_per_minute": 30}
    replicas = list(await asyncio.gather(start_gateway(**changes), start_gateway(**changes)))
    people = [await replicas[0].sign_up() for _ in range(8)]
    began = asyncio.get_running_loop().time()
    await people[0].start_job()  # the row is there: whoever makes it would be waited for
    # Nobody is on both replicas: only the provider's own row lies between them.
    here, there = await asyncio.gather(
        flood(replicas[:1], people[:4], 20), flood(replicas[1:], people[4:], 20)
    )
    statuses = here + there + Counter([202])
    took = asyncio.get_running_loop().time() - began
    assert 30 <= statuses[202] <= 30 + took * 30 / 60 + 1
    assert statuses[202] + statuses[429] == 161
    refused = await people[0].post("/api/jobs", BODY)
    assert (refused.status_code, refused.json()["limit"]) == (429, "provider")


async def test_two_replicas_together_never_pass_a_daily_cap(start_gateway: Start) -> None:
    changes = {**PLENTY, "rate_limit_per_minute": 10_000, "credits_per_day": 25}
    replicas = list(await asyncio.gather(start_gateway(**changes), start_gateway(**changes)))
    ada = await replicas[0].sign_up()
    assert await flood(replicas, [ada], 200) == {202: 25, 429: 175}
    refused = await ada.post("/api/jobs", BODY)
    assert_problem(refused, 429, "rate_limited", "The day's credits are used up")
    assert 0 < int(refused.headers["retry-after"]) <= 86_400


async def test_answers_tell_what_is_left(start_gateway: Start) -> None:
    gateway = await start_gateway(rate_limit_per_minute=3)
    ada = await gateway.sign_up()
    left = []
    for _ in range(3):
        answer = await ada.post("/api/jobs", BODY, **{"Idempotency-Key": str(uuid4())})
        name, remaining, whole_in = answer.headers["ratelimit"].partition(",")[0].split(";")
        left.append((name, remaining))
        assert 20 * len(left) - 10 <= int(whole_in.removeprefix("t=")) <= 20 * len(left)
        assert answer.headers["ratelimit-policy"].startswith('"user-requests";q=3;w=60;')
    assert left == [('"user-requests"', f"r={2 - place}") for place in range(3)]
    refused = await ada.post("/api/jobs", BODY)
    assert refused.headers["ratelimit"].startswith('"user-requests";r=0;')
    assert 1 <= int(refused.headers["retry-after"]) <= 20


async def test_refusals_and_repeats_cost_no_allowance(start_gateway: Start) -> None:
    gateway = await start_gateway(rate_limit_per_minute=2, signup_credits=2)
    ada = await gateway.sign_up()
    key = {"Idempotency-Key": "one"}
    for body, status in (
        ({**BODY, "n": 8}, 402),
        ({**BODY, "model": "x"}, 400),
        ({**BODY, "priceBookVersion": 9}, 409),
    ):
        assert (await ada.post("/api/jobs", body)).status_code == status
    for _ in range(3):
        assert (await ada.post("/api/jobs", BODY, **key)).status_code == 202
    assert (await ada.post("/api/jobs", BODY)).status_code == 202
    meter = "SELECT (credits, tokens) FROM allowance WHERE kind = 'user' AND subject = $1"
    assert await gateway.value(meter, str(ada.user_id)) == (2, 10)


async def used(gateway: RunningGateway, person: Person) -> tuple[int, int]:
    row = await gateway.value(
        "SELECT (credits, tokens) FROM allowance WHERE kind = 'user' AND subject = $1",
        str(person.user_id),
    )
    return tuple(row)


async def until_used(gateway: RunningGateway, person: Person, expected: tuple[int, int]) -> None:
    async with asyncio.timeout(60):
        while await used(gateway, person) != expected:
            await asyncio.sleep(0.05)


async def test_the_true_tokens_count_once_they_are_known(start_gateway: Start) -> None:
    gateway = await start_gateway(tokens_per_day=100)
    ada = await gateway.sign_up()
    one, two = await ada.start_job(), await ada.start_job(n=3)
    assert await used(gateway, ada) == (4, 10)
    facts = await gateway.facts(one)
    said = completed(facts, input_tokens=15, output_tokens=90)
    for _ in range(2):  # another event id: the job itself settles once
        await gateway.tell(said)
        await gateway.tell(captured(ada.user_id, one, version=1, settled=19))
    await until_used(gateway, ada, (6, 110))  # it was told to cost 3
    capped = await ada.post("/api/jobs", BODY)
    assert_problem(capped, 429, "rate_limited", "The day's tokens are used up")
    await gateway.tell(failed(await gateway.facts(two)))
    await gateway.tell(released(ada.user_id, two, version=2, settled=19))
    await until_used(gateway, ada, (3, 105))
    await gateway.run("UPDATE allowance SET day = day - 1")
    assert (await ada.post("/api/jobs", BODY)).status_code == 202  # a new day
    assert await used(gateway, ada) == (1, 5)


async def test_an_administrator_throttles_until_a_time_and_the_event_says_who(
    gateway: RunningGateway,
) -> None:
    admin, ada = await gateway.admin(), await gateway.sign_up()
    path = limit_of("user", str(ada.user_id).upper())
    answer = await admin.put(f"{path}/throttle", {**WHY, "perMinute": 1, "seconds": 600})
    assert answer.status_code == 200, answer.text
    shown = answer.json()
    assert (shown["inForce"]["perMinute"], shown["throttlePerMinute"]) == (1, 1)
    statuses = [(await ada.post("/api/jobs", BODY)).status_code for _ in range(2)]
    assert statuses == [202, 429]
    (told,) = [each for each in await gateway.published() if isinstance(each, LimitChanged)]
    assert (told.kind, told.limited, told.account_id) == ("user", str(ada.user_id), ada.user_id)
    assert (told.throttle_per_minute, told.reason, told.actor) == (1, "a test", admin.user_id)
    assert told.throttled_until == datetime.fromisoformat(shown["throttledUntil"])
    ended = await admin.put(f"{path}/throttle", WHY)
    assert ended.json()["throttledUntil"] is None
    assert ended.json()["inForce"]["perMinute"] == 60
    assert ended.json()["used"] == {"creditsToday": 1, "tokensToday": 5}
    async with asyncio.timeout(30):  # what is in the bucket drains at the usual rate
        while (await ada.post("/api/jobs", BODY)).status_code == 429:
            await asyncio.sleep(0.1)


async def test_an_administrator_sets_limits_of_users_and_providers(
    gateway: RunningGateway,
) -> None:
    admin, ada = await gateway.admin(), await gateway.sign_up()
    user, provider = limit_of("user", ada.user_id), limit_of("provider", "local")
    await admin.put(user, {**WHY, "creditsPerDay": 1})
    assert (await ada.post("/api/jobs", {**BODY, "n": 2})).json()["measure"] == "credits"
    await admin.put(user, WHY)
    await admin.put(provider, {**WHY, "perMinute": 1})
    assert (await admin.get(provider)).json()["own"]["perMinute"] == 1
    statuses = [(await ada.post("/api/jobs", BODY)).status_code for _ in range(2)]
    assert statuses == [202, 429]
    told = [each for each in await gateway.published() if isinstance(each, LimitChanged)]
    assert [(each.kind, each.per_minute, each.credits_per_day) for each in told] == [
        ("user", None, 1),
        ("user", None, None),
        ("provider", 1, None),
    ]
    assert (await admin.put(user, WHY)).status_code == 200  # as it is: no event
    assert len([e for e in await gateway.published() if isinstance(e, LimitChanged)]) == 3


@pytest.mark.usefixtures("no_slow_look")
async def test_a_ban_refuses_at_once_closes_streams_and_can_be_lifted(
    start_gateway: Start,
) -> None:
    one, two = await asyncio.gather(start_gateway(), start_gateway())
    admin, ada = await one.admin(), await one.sign_up()
    there = Person(ada.user_id, ada.token, two.client, ada.email)
    job_id = await ada.start_job()
    are_open = [asyncio.Event(), asyncio.Event()]
    streams = [
        asyncio.create_task(follow(each, job_id, is_open))
        for each, is_open in zip((ada, there), are_open, strict=True)
    ]
    for is_open in are_open:
        await is_open.wait()
    path = f"/api/admin/users/{ada.user_id}"
    answers = [await admin.post(f"{path}/ban", WHY) for _ in range(2)]
    assert answers[0].status_code == 200, answers[0].text
    assert answers[0].json() == answers[1].json()
    await asyncio.gather(*streams)
    for person in (ada, there):
        assert_problem(await person.post("/api/jobs", BODY), 403, "user_banned", "may not generate")
        assert (await person.get(f"/api/jobs/{job_id}")).status_code == 401
        await person.log_in_again()
        assert_problem(await person.post("/api/jobs", BODY), 403, "user_banned", "may not generate")
        assert (await person.get(f"/api/jobs/{job_id}/events")).status_code == 403
        assert (await person.get(f"/api/jobs/{job_id}")).status_code == 200
    assert (await admin.post(f"{path}/unban", WHY)).json()["bannedAt"] is None
    await ada.start_job()
    sanctions = [
        each for each in await one.published() if isinstance(each, UserBanned | UserUnbanned)
    ]
    facts: dict[str, Any] = {
        "user_id": ada.user_id,
        "account_id": ada.user_id,
        "reason": "a test",
        "actor": admin.user_id,
    }
    assert sanctions == [UserBanned(**facts), UserUnbanned(**facts)]


BAD_COMMANDS: tuple[tuple[str, str, dict[str, Any], int], ...] = (
    ("post", "/api/admin/users/{user}/ban", {}, 400),
    ("post", "/api/admin/users/{user}/ban", {"reason": "  "}, 400),
    ("post", "/api/admin/users/{user}/ban", {"reason": "x" * 501}, 400),
    ("post", "/api/admin/users/{user}/ban", {"reason": "a\0b"}, 400),
    ("post", "/api/admin/users/nobody/ban", WHY, 404),
    ("post", f"/api/admin/users/{uuid4()}/ban", WHY, 404),
    ("post", f"/api/admin/users/{uuid4()}/unban", WHY, 404),
    ("post", "/api/admin/users/{admin}/ban", WHY, 409),
    ("put", "/api/admin/limits/user/{user}", {**WHY, "perMinute": 0}, 400),
    ("put", "/api/admin/limits/user/{user}", {**WHY, "perMinute": 1.5}, 400),
    ("put", "/api/admin/limits/user/{user}", {**WHY, "creditsPerDay": -1}, 400),
    ("put", "/api/admin/limits/user/{user}", {**WHY, "tokensPerDay": 2**53}, 400),
    ("put", "/api/admin/limits/user/{user}", {**WHY, "surprise": 1}, 400),
    ("put", "/api/admin/limits/user/{user}", {"perMinute": 5}, 400),
    ("put", f"/api/admin/limits/user/{uuid4()}", WHY, 404),
    ("put", "/api/admin/limits/user/nobody", WHY, 404),
    ("put", f"/api/admin/limits/key/{uuid4()}", WHY, 404),
    ("put", f"/api/admin/limits/workspace/{uuid4()}", WHY, 404),
    ("put", "/api/admin/limits/provider/acme", WHY, 404),
    ("put", "/api/admin/limits/planet/earth", WHY, 400),
    ("put", "/api/admin/limits/user/{user}/throttle", {**WHY, "perMinute": -1}, 400),
    ("put", "/api/admin/limits/user/{user}/throttle", {**WHY, "perMinute": 1, "seconds": 0}, 400),
)


async def test_bad_commands_change_nothing(gateway: RunningGateway) -> None:
    admin, ada = await gateway.admin(), await gateway.sign_up()
    before = len(await gateway.published())
    for method, pattern, body, status in BAD_COMMANDS:
        path = pattern.format(user=ada.user_id, admin=admin.user_id)
        answer = await getattr(admin, method)(path, body)
        assert answer.status_code == status, (path, body, answer.text)
        assert answer.json()["error"] == answer.json()["message"]
        assert (await getattr(ada, method)(path, body)).status_code == 403, path
    assert len(await gateway.published()) == before
    assert await gateway.value("SELECT count(*) FROM allowance") == 0
    await ada.start_job()


async def test_a_request_whose_account_is_locked_elsewhere_holds_nobody_up(
    gateway: RunningGateway,
) -> None:
    ada, bob = await gateway.sign_up(), await gateway.sign_up()
    async with gateway.streams.database.transaction() as transaction:
        lock = "SELECT FROM credit_account WHERE account_id = $1 FOR UPDATE"
        await transaction.connection.execute(lock, ada.user_id)
        waiting = [asyncio.create_task(ada.post("/api/jobs", BODY)) for _ in range(3)]
        async with asyncio.timeout(60):
            for _ in range(3):
                await bob.start_job()
        assert not any(each.done() for each in waiting)
    answers = await asyncio.gather(*waiting)
    assert [answer.status_code for answer in answers] == [202] * 3
    assert await held(gateway, ada) == (3, 3)


async def test_what_others_take_of_a_limit_meanwhile_is_seen(gateway: RunningGateway) -> None:
    """A request that waits for a provider's row is decided by what it finds there then."""
    ada = await gateway.sign_up()
    await ada.start_job()
    waits = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    async with gateway.streams.database.transaction() as transaction:
        await transaction.connection.execute(
            "UPDATE allowance SET drained_at = now() + interval '1 hour' WHERE kind = 'provider'"
        )
        waiting = asyncio.create_task(ada.post("/api/jobs", BODY))
        async with asyncio.timeout(30):
            while not await gateway.value(waits):
                await asyncio.sleep(0.02)
    refused = await waiting
    assert (refused.status_code, refused.json()["limit"]) == (429, "provider")
    assert await held(gateway, ada) == (1, 1)


async def test_a_thousand_requests_on_two_replicas_against_ten_credits_give_ten(
    start_gateway: Start,
) -> None:
    changes = {**PLENTY, "signup_credits": 10, "rate_limit_per_minute": 100_000}
    replicas = list(await asyncio.gather(start_gateway(**changes), start_gateway(**changes)))
    ada = await replicas[0].sign_up()
    assert await flood(replicas, [ada], 1_000) == {202: 10, 402: 990}
    assert await held(replicas[0], ada) == (10, 10)
    assert len(await requested(replicas[1])) == 10


async def test_requests_that_come_together_share_a_transaction(start_gateway: Start) -> None:
    gateway = await start_gateway(**PLENTY)
    people = [await gateway.sign_up() for _ in range(10)]
    assert await flood([gateway], people, 20) == {202: 200}
    transactions = await gateway.value("SELECT count(DISTINCT xmin::text) FROM job")
    assert transactions < 100
    for person in people:
        assert await held(gateway, person) == (20, 20)


async def test_a_request_that_spoils_its_batch_spoils_none_of_the_others(
    start_gateway: Start,
) -> None:
    gateway = await start_gateway(**PLENTY)
    people = [await gateway.sign_up() for _ in range(10)]
    spoiler = people[4]
    for statement in (
        (
            "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'spoilt'; END $$"
        ),
        (
            "CREATE TRIGGER spoils BEFORE INSERT ON job FOR EACH ROW"
            f" WHEN (NEW.user_id = '{spoiler.user_id}') EXECUTE FUNCTION spoil()"
        ),
    ):
        await gateway.run(statement)
    assert await flood([gateway], people, 10) == {202: 90, 500: 10}
    assert await held(gateway, spoiler) == (0, 0)
    assert len(await requested(gateway)) == 90


async def test_what_is_settled_when_its_day_has_gone_by_counts_for_nothing(
    gateway: RunningGateway,
) -> None:
    ada = await gateway.sign_up()
    job_id = await ada.start_job()
    await gateway.run("UPDATE job SET metered_on = metered_on - 1")
    said = completed(await gateway.facts(job_id), input_tokens=500)
    await gateway.tell(said, captured(ada.user_id, job_id, version=1, settled=17))
    async with asyncio.timeout(60):
        while (await ada.get(f"/api/jobs/{job_id}")).json()["progress"] < 85:
            await asyncio.sleep(0.05)
    assert await used(gateway, ada) == (1, 5)
