"""Exact admission under a thousand parallel requests."""

import asyncio
from collections import Counter

from tests.e2e.conftest import SIGNUP_CREDITS
from tests.e2e.system import System, until

REQUESTS = 1_000


async def test_a_thousand_parallel_requests_against_ten_credits_give_exactly_ten_jobs(
    system: System,
) -> None:
    async with system.person() as person:
        body = {"prompt": "one of many", "provider": "local", "model": "local-sketch"}
        answers = await asyncio.gather(
            *(person.answer("POST", "/api/jobs", json=body) for _ in range(REQUESTS))
        )
        assert Counter(status for status, _ in answers) == {
            202: SIGNUP_CREDITS,
            402: REQUESTS - SIGNUP_CREDITS,
        }
        jobs = [answer["jobId"] for status, answer in answers if status == 202]

        async def all_completed() -> bool:
            found = [await person.call("GET", f"/api/jobs/{job}") for job in jobs]
            return {job["status"] for job in found} == {"COMPLETED"}

        await until(all_completed, seconds=90)
        user = await person.call("GET", "/api/auth/me")
        assert user["credits"] == 0
        status, _ = await person.answer("POST", "/api/jobs", json=body)
        assert status == 402
