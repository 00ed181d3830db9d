"""Every simulated provider through the whole system, and an order that outlives its worker."""

from functools import partial
from typing import Any

import aiohttp

from tests.e2e.conftest import SIGNUP_CREDITS
from tests.e2e.system import System, until

Json = dict[str, Any]
SIMULATED = {
    "flux": "flux-1.1",
    "gemini": "gemini-2.5-flash-image",
    "ideogram": "ideogram",
    "luma": "luma-photon-1",
    "openai": "chatgpt-image",
    "qwen": "qwen-image",
    "recraft": "recraft",
    "reve": "reve-image-1.0",
    "runway": "runway-gen4",
    "seedream": "seedream-3.0",
}


async def orders(system: System, provider: str, prompt: str) -> int:
    """How often a simulator was asked for a prompt."""
    url = system.status()["simulation"]["url"]
    async with aiohttp.ClientSession() as session, session.get(f"{url}/control/{provider}") as told:
        calls = (await told.json())["calls"]
    return sum(prompt in str(each["body"]) for each in calls)


async def has_ended_well(person: Any, job_id: str) -> bool:
    job: Json = await person.call("GET", f"/api/jobs/{job_id}")
    assert job["status"] in {"PENDING", "PROCESSING", "COMPLETED"}, job
    return bool(job["status"] == "COMPLETED")


async def test_every_provider_delivers_and_is_paid(system: System) -> None:
    assert set(SIMULATED) == set(system.status()["simulators"])
    async with system.person() as person:
        jobs = {}
        for provider, model in SIMULATED.items():
            body = {"prompt": f"a heron by {provider}", "provider": provider, "model": model}
            jobs[provider] = (await person.call("POST", "/api/jobs", json=body))["jobId"]
        for job_id in jobs.values():
            await until(partial(has_ended_well, person, job_id), seconds=90)
    for provider, job_id in jobs.items():
        cost = await system.scalar(
            "SELECT sum(provider_cost_microusd) FROM generation.attempt WHERE job_id = $1", job_id
        )
        assert cost > 0, provider
        assert await orders(system, provider, f"a heron by {provider}") == 1


async def test_an_order_is_placed_once_although_its_worker_is_killed(system: System) -> None:
    prompt = "a heron that takes its time [[latency=8]]"
    async with system.person() as person:
        body = {"prompt": prompt, "provider": "flux", "model": "flux-1.1"}
        job_id = (await person.call("POST", "/api/jobs", json=body))["jobId"]
        query = "SELECT EXISTS (SELECT FROM generation.attempt WHERE job_id = $1 AND is_open)"

        async def is_ordered() -> bool:
            return bool(await system.scalar(query, job_id))

        await until(is_ordered, seconds=90)
        system.kill("generation")
        await until(partial(has_ended_well, person, job_id), seconds=120)
    assert await orders(system, "flux", prompt) == 1
    states = await system.scalar(
        "SELECT array_agg(state ORDER BY number) FROM generation.attempt WHERE job_id = $1", job_id
    )
    assert states == ["unknown", "won"]


async def test_a_provider_tells_that_it_is_done(system: System) -> None:
    """Twice: the second call changes nothing."""
    prompt = "a heron that is told of [[latency=7]] [[duplicate_webhook]]"
    async with system.person() as person:
        body = {"prompt": prompt, "provider": "flux", "model": "flux-1.1"}
        job_id = (await person.call("POST", "/api/jobs", json=body))["jobId"]
        await until(partial(has_ended_well, person, job_id), seconds=90)
        balance = (await person.call("GET", "/api/credits/balance"))["settled"]
        forged = await person.answer("POST", "/api/flux/webhook", json={"id": "task-1"})
    assert forged[0] == 401
    assert balance == SIGNUP_CREDITS - 1
    told = await system.scalar(
        "SELECT count(*) FROM generation.webhook JOIN generation.attempt"
        " ON position(convert_to(submission_id, 'UTF8') IN submission) > 0 WHERE job_id = $1",
        job_id,
    )
    assert told == 1
