"""Kill -9 of everything in the middle of the work: nothing lost, nothing doubled."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack

import aiohttp
import pytest

from libs.events.names import Service
from tests.e2e.system import TERMINAL, System, until
from tools.api_client import ApiClient, Json
from tools.invariants import what_is_wrong

GENERATIONS = 200
PEOPLE = 25
VICTIMS = (*(service.value for service in Service), "kafka", "postgres")
POST_SECONDS = 60.0


async def post_until_accepted(person: ApiClient, number: int) -> str:
    """What a careful client does: the same key until there is an answer."""
    body: Json = {"prompt": f"picture {number}", "provider": "local", "model": "local-sketch"}
    async with asyncio.timeout(POST_SECONDS):
        while True:
            try:
                status, answer = await person.answer(
                    "POST", "/api/jobs", json=body, headers={"Idempotency-Key": f"n-{number}"}
                )
            except (aiohttp.ClientError, OSError):
                await asyncio.sleep(0.2)
                continue
            if status == 202:
                return str(answer["jobId"])
            assert status >= 500, answer
            await asyncio.sleep(0.2)


@pytest.mark.timeout(420)
async def test_two_hundred_generations_survive_the_death_of_every_process(system: System) -> None:
    url = system.status()["gateway_url"]
    restarts = restarts_of(system.status())
    async with AsyncExitStack() as stack:
        people = [await stack.enter_async_context(system.person(url)) for _ in range(PEOPLE)]
        work = [
            asyncio.create_task(start_later(people[number % PEOPLE], number))
            for number in range(GENERATIONS)
        ]
        for victim in VICTIMS:
            await asyncio.sleep(1.0)
            await asyncio.to_thread(system.kill, victim)
        jobs = await asyncio.gather(*work)
        await system.until_ready()

        async def all_ended() -> bool:
            query = "SELECT status, count(*) FROM gateway.job WHERE job_id = ANY($1) GROUP BY 1"
            async with system.database() as connection:
                rows = await connection.fetch(query, jobs)
            counts = Counter({row["status"]: row["count"] for row in rows})
            return sum(counts[status] for status in TERMINAL) == GENERATIONS

        await until(all_ended, seconds=180)
    assert len(set(jobs)) == GENERATIONS
    completed = await system.scalar(
        "SELECT count(*) FROM gateway.job WHERE status = 'COMPLETED' AND job_id = ANY($1)", jobs
    )
    captured = await system.scalar(
        "SELECT count(*) FROM ledger.reservation WHERE state = 'captured' AND job_id = ANY($1)",
        jobs,
    )
    listed = await system.scalar("SELECT count(*) FROM gallery.item WHERE job_id = ANY($1)", jobs)
    assert completed == captured == listed == GENERATIONS
    async with system.database() as connection:
        assert await what_is_wrong(connection) == {}
    assert all(restarts_of(system.status())[each] > restarts[each] for each in VICTIMS)


async def start_later(person: ApiClient, number: int) -> str:
    """Spread the requests over the time in which processes die."""
    await asyncio.sleep(number * 0.04)
    return await post_until_accepted(person, number)


def restarts_of(status: Json) -> dict[str, int]:
    parts = {**status["services"], "kafka": status["kafka"], "postgres": status["postgres"]}
    return {name: part["restarts"] for name, part in parts.items()}


async def test_the_gateway_admits_and_generation_works_while_the_others_stand_still(
    system: System,
) -> None:
    async with system.person() as person:
        body: Json = {"prompt": "alone", "provider": "local", "model": "local-sketch"}
        async with system.stopped(["ledger", "gallery", "billing"]):
            job_id = (await person.call("POST", "/api/jobs", json=body))["jobId"]

            async def is_finalising() -> bool:
                job = await person.call("GET", f"/api/jobs/{job_id}")
                assert job["status"] in {"PENDING", "PROCESSING"}
                return bool(job["stage"] == "finalising")

            await until(is_finalising, seconds=90)

        async def is_completed() -> bool:
            job = await person.call("GET", f"/api/jobs/{job_id}")
            return bool(job["status"] == "COMPLETED")

        await until(is_completed, seconds=90)


async def test_the_gateway_admits_while_kafka_is_down(system: System) -> None:
    async with system.person() as person:
        body: Json = {"prompt": "no bus", "provider": "local", "model": "local-sketch"}
        async with system.stopped(["kafka"]):
            status, answer = await person.answer("POST", "/api/jobs", json=body)
            assert status == 202

        async def is_completed() -> bool:
            job = await person.call("GET", f"/api/jobs/{answer['jobId']}")
            return bool(job["status"] == "COMPLETED")

        await until(is_completed, seconds=90)
