"""Admission through HTTP: credits, limits, keys and refusals, also a thousand at once."""

import asyncio
from collections import Counter
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import asyncpg
import httpx2
import pytest
from pydantic import SecretStr

from libs.events.generation import GenerationRequested
from libs.runtime.testing import Passage
from services.gateway.tests.integration.conftest import (
    ORIGIN,
    Person,
    RunningGateway,
    Start,
)

BODY: dict[str, Any] = {"provider": "local", "prompt": "a fox in the snow"}


async def requested(gateway: RunningGateway) -> list[GenerationRequested]:
    return [each for each in await gateway.published() if isinstance(each, GenerationRequested)]


async def held(gateway: RunningGateway, person: Person) -> tuple[int, int]:
    """The account's held credits, and the sum of its open holds."""
    row = await gateway.value(
        "SELECT (a.held, (SELECT coalesce(sum(h.credits), 0)::bigint FROM hold h"
        "  WHERE h.account_id = a.account_id AND h.closed_at IS NULL))"
        "  FROM credit_account a WHERE a.account_id = $1",
        person.user_id,
    )
    return tuple(row)


def assert_problem(answer: httpx2.Response, status: int, code: str, sentence: str) -> None:
    body = answer.json()
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert body["type"] == f"urn:daygen:problem:{code}"
    assert body["error"] == body["message"] == body["detail"]
    assert sentence in body["error"]


async def test_an_admitted_job_is_held_announced_and_readable_at_once(
    gateway: RunningGateway,
) -> None:
    ada = await gateway.sign_up()
    body = {**BODY, "n": 2, "providerOptions": {"seed": 7}, "size": "1024x1024"}
    answer = await ada.post("/api/jobs", body)
    assert answer.status_code == 202
    job_id = UUID(answer.json()["jobId"])
    assert answer.json() == {"jobId": str(job_id), "status": "PENDING"}
    assert answer.headers["location"] == f"/api/jobs/{job_id}"
    assert await ada.credits() == 18
    assert await held(gateway, ada) == (2, 2)

    (event,) = await requested(gateway)
    request = event.request
    assert (event.job_id, event.account_id) == (job_id, ada.user_id)
    assert (request.account_id, request.user_id, request.workspace_id) == (
        ada.user_id,
        ada.user_id,
        None,
    )
    assert (request.operation, request.provider, request.model) == (
        "image",
        "local",
        "local-sketch",
    )
    assert (request.prompt, request.options) == (
        BODY["prompt"],
        {"seed": 7, "size": "1024x1024"},
    )
    assert (request.unit_credits, request.units, request.price_book_version) == (1, 2, 1)
    assert (request.deadline_at - request.requested_at).total_seconds() == 600

    job = (await ada.get(f"/api/jobs/{job_id}")).json()
    assert (job["id"], job["status"], job["progress"]) == (str(job_id), "PENDING", 0)
    assert job["credits"] == {
        "held": 2,
        "charged": None,
        "unit": 1,
        "units": 2,
        "priceBookVersion": 1,
    }


async def test_a_thousand_requests_against_ten_credits_give_ten_jobs(
    start_gateway: Start,
) -> None:
    gateway = await start_gateway(
        signup_credits=10, rate_limit_per_minute=100_000, flood_limit_per_minute=100_000
    )
    ada = await gateway.sign_up()
    async with aiohttp.ClientSession(gateway.url, headers=ada.headers) as session:

        async def status() -> int:
            async with session.post("/api/jobs", json=BODY) as answer:
                return answer.status

        statuses = await asyncio.gather(*(status() for _ in range(1_000)))
    assert Counter(statuses) == {202: 10, 402: 990}
    assert await gateway.value("SELECT count(*) FROM job") == 10
    assert len(await requested(gateway)) == 10
    assert await held(gateway, ada) == (10, 10)
    assert await ada.credits() == 0


async def test_missing_credits_are_a_payment_matter(start_gateway: Start) -> None:
    gateway = await start_gateway(signup_credits=1)
    ada = await gateway.sign_up()
    answer = await ada.post("/api/jobs", {**BODY, "n": 2}, Origin=ORIGIN)
    assert_problem(answer, 402, "insufficient_credits", "Insufficient credits: 2 needed, 1 ")
    assert (answer.json()["neededCredits"], answer.json()["availableCredits"]) == (2, 1)
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert await held(gateway, ada) == (0, 0)


async def test_grace_can_be_used_up_too(start_gateway: Start) -> None:
    gateway = await start_gateway(signup_credits=1, grace=2)
    ada = await gateway.sign_up()
    statuses = [(await ada.post("/api/jobs", BODY)).status_code for _ in range(4)]
    assert statuses == [202, 202, 202, 402]
    assert await ada.credits() == 0


async def test_over_the_limit_a_user_is_told_when_to_come_back(start_gateway: Start) -> None:
    gateway = await start_gateway(rate_limit_per_minute=2)
    ada, bob = await gateway.sign_up(), await gateway.sign_up()
    statuses = [(await ada.post("/api/jobs", BODY)).status_code for _ in range(2)]
    refused = await ada.post("/api/jobs", BODY)
    assert statuses == [202, 202]
    assert_problem(refused, 429, "rate_limited", "Too many generations")
    assert 25 <= int(refused.headers["retry-after"]) <= 30
    assert await held(gateway, ada) == (2, 2)
    assert (await bob.post("/api/jobs", BODY)).status_code == 202


async def test_credits_are_looked_at_before_limits(start_gateway: Start) -> None:
    gateway = await start_gateway(rate_limit_per_minute=1, signup_credits=1)
    ada = await gateway.sign_up()
    await ada.post("/api/jobs", BODY)
    assert (await ada.post("/api/jobs", BODY)).status_code == 402


async def test_reading_costs_no_allowance_but_counts_against_floods(
    start_gateway: Start,
) -> None:
    gateway = await start_gateway(rate_limit_per_minute=1, flood_limit_per_minute=10)
    ada, bob = await gateway.sign_up(), await gateway.sign_up()
    answers = [await ada.get("/api/auth/me") for _ in range(11)]
    assert [answer.status_code for answer in answers] == [200] * 10 + [429]
    assert_problem(answers[-1], 429, "flooded", "Too many requests")
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert (await bob.post("/api/jobs", BODY)).status_code == 202


async def test_a_banned_user_may_read_and_not_generate(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    job_id = await ada.start_job()
    await gateway.run("UPDATE users SET banned_at = now() WHERE user_id = $1", ada.user_id)
    assert_problem(await ada.post("/api/jobs", BODY), 403, "user_banned", "may not generate")
    assert (await ada.get(f"/api/jobs/{job_id}")).status_code == 200


async def test_a_repeat_under_one_key_is_the_same_job(gateway: RunningGateway) -> None:
    ada, bob = await gateway.sign_up(), await gateway.sign_up()
    key = {"Idempotency-Key": "one"}
    answers = await asyncio.gather(*(ada.post("/api/jobs", BODY, **key) for _ in range(8)))
    again = await ada.post(
        "/api/jobs", {"prompt": BODY["prompt"], "model": "local-sketch", "style": None}, **key
    )
    assert {answer.status_code for answer in answers} == {202}
    assert {answer.json()["jobId"] for answer in [*answers, again]} == {answers[0].json()["jobId"]}
    assert await held(gateway, ada) == (1, 1)
    assert len(await requested(gateway)) == 1
    others = await bob.post("/api/jobs", BODY, **key)
    assert others.json()["jobId"] != again.json()["jobId"]
    elsewhere = await ada.post("/api/image/local", BODY, **key, Prefer="respond-async")
    assert elsewhere.json()["jobId"] != again.json()["jobId"]


async def test_a_key_used_for_something_else_is_refused(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    key = {"Idempotency-Key": "one"}
    await ada.post("/api/jobs", BODY, **key)
    answer = await ada.post("/api/jobs", {**BODY, "prompt": "a hare"}, **key)
    assert_problem(answer, 422, "idempotency_key_reused", "send a new key")


async def test_a_refused_request_can_be_repeated_under_its_key(start_gateway: Start) -> None:
    gateway = await start_gateway(signup_credits=0)
    ada = await gateway.sign_up()
    key = {"Idempotency-Key": "one"}
    assert (await ada.post("/api/jobs", BODY, **key)).status_code == 402
    assert await gateway.value("SELECT count(*) FROM idempotency") == 0
    await gateway.run("UPDATE credit_account SET settled = 1")
    assert (await ada.post("/api/jobs", BODY, **key)).status_code == 202


async def test_a_repeat_needs_neither_credits_nor_allowance(start_gateway: Start) -> None:
    gateway = await start_gateway(signup_credits=1, rate_limit_per_minute=1)
    ada = await gateway.sign_up()
    key = {"Idempotency-Key": "one"}
    first = await ada.post("/api/jobs", BODY, **key)
    again = await ada.post("/api/jobs", BODY, **key)
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["jobId"] == again.json()["jobId"]


async def test_a_key_is_forgotten_after_a_day(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    key = {"Idempotency-Key": "one"}
    first = await ada.post("/api/jobs", BODY, **key)
    await gateway.run("UPDATE idempotency SET accepted_at = accepted_at - interval '25 hours'")
    second = await ada.post("/api/jobs", {**BODY, "prompt": "a hare"}, **key)
    assert second.status_code == 202
    assert second.json()["jobId"] != first.json()["jobId"]
    assert await gateway.value("SELECT count(*) FROM idempotency") == 1


async def test_the_book_in_force_by_database_time_decides(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    add = (
        "INSERT INTO price_book (version, effective_from, sha256, body) VALUES"
        " ($1, now() + $2::text::interval,"
        " encode(sha256(convert_to($3::text, 'UTF8')), 'hex'), $3::text)"
    )
    await gateway.run(add, 2, "-1 second", '{"operations":{"image":4}}')
    await gateway.run(add, 3, "1 hour", '{"operations":{"image":9}}')
    job_id = await ada.start_job(n=2)
    facts = await gateway.facts(job_id)
    assert (facts.unit_credits, facts.price_book_version) == (4, 2)
    assert await ada.credits() == 12


async def test_a_price_book_is_never_changed(gateway: RunningGateway) -> None:
    for change in (
        "UPDATE price_book SET body = body",
        "DELETE FROM price_book",
        "TRUNCATE price_book CASCADE",
        "INSERT INTO price_book VALUES (2, now(), 'not its hash', '{}')",
    ):
        with pytest.raises(asyncpg.PostgresError, match=r"never changed|check constraint"):
            await gateway.run(change)


BAD_REQUESTS: tuple[tuple[str, Any, str], ...] = (
    ("/api/unified-generate", {}, "Prompt is required"),
    ("/api/unified-generate", {"prompt": "  ", "model": "x"}, "Prompt is required"),
    ("/api/unified-generate", {"prompt": "a fox"}, "Model is required"),
    ("/api/unified-generate", {"prompt": "a fox", "model": "x"}, "Unsupported model: x"),
    ("/api/image/local", {"prompt": "a fox", "model": "x"}, "Unsupported model: x"),
    ("/api/image/acme", {"prompt": "a fox"}, "Unsupported provider: acme"),
    ("/api/jobs", {"prompt": "a fox"}, "Model is required"),
    ("/api/jobs", {**BODY, "n": 9}, "n must be a whole number from 1 to 8"),
    ("/api/jobs", {**BODY, "prompt": 5}, "prompt should be a valid string"),
    ("/api/jobs", {**BODY, "providerOptions": []}, "providerOptions must be"),
    ("/api/jobs", [], "body must be"),
)


async def test_bad_requests_get_the_texts_clients_know(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    for path, body, sentence in BAD_REQUESTS:
        answer = await ada.post(path, body)
        assert answer.status_code == 400, answer.text
        assert sentence in answer.json()["error"]
        assert answer.json()["error"] == answer.json()["message"]
    assert await gateway.value("SELECT count(*) FROM job") == 0


HOSTILE = (
    b"",
    b"{",
    b'{"prompt": NaN}',
    b"[" * 100_000,
    b'{"provider":"local","prompt":"\\u0000"}',
    b'{"provider":"local","prompt":"a","x":NaN}',
    b'{"provider":"local","prompt":"\\ud800"}',
)


async def test_hostile_json_is_refused(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    headers = {**ada.headers, "Content-Type": "application/json"}
    for raw in HOSTILE:
        answer = await gateway.client.post("/api/jobs", content=raw, headers=headers)
        assert answer.status_code == 400, answer.text


async def test_a_stranger_may_not_know_of_a_job(gateway: RunningGateway) -> None:
    ada, eve = await gateway.sign_up(), await gateway.sign_up()
    job_id = await ada.start_job()
    for path in (f"/api/jobs/{job_id}", f"/api/jobs/{uuid4()}", "/api/jobs/nonsense"):
        for suffix in ("", "/events"):
            assert_problem(await eve.get(path + suffix), 404, "job_not_found", "Job not found")


async def test_without_its_database_the_gateway_says_so_and_accepts_again_when_it_is_back(
    gateway_dsn: str, start_gateway: Start
) -> None:
    passage = Passage(gateway_dsn)
    await passage.open()
    gateway = await start_gateway(database_dsn=SecretStr(passage.dsn))
    ada = await gateway.sign_up()
    await passage.close()
    for path in ("/api/jobs", "/api/image/local"):
        refused = await ada.post(path, BODY, Origin=ORIGIN)
        assert_problem(refused, 503, "database_unavailable", "try again")
        assert refused.headers["access-control-allow-origin"] == ORIGIN
    assert (await gateway.client.get("/health/ready")).status_code == 503
    await passage.open()
    await ada.start_job()
    assert await ada.credits() == 19
    assert len(await requested(gateway)) == 1


async def test_a_waiting_client_never_hears_of_an_outage_once_its_job_is_there(
    gateway_dsn: str, start_gateway: Start
) -> None:
    """It would believe that nothing was accepted, and buy again."""
    passage = Passage(gateway_dsn)
    await passage.open()
    gateway = await start_gateway(database_dsn=SecretStr(passage.dsn), wait_seconds=2)
    ada = await gateway.sign_up()
    waiting = asyncio.create_task(ada.post("/api/image/local", BODY))
    async with asyncio.timeout(60):
        while not await requested(gateway):
            await asyncio.sleep(0.02)
    await passage.close()
    assert_problem(await waiting, 504, "still_running", "not ready yet")
    await passage.open()
