"""A user's jobs as a list, and jobs that are called off."""

import asyncio
from uuid import UUID, uuid4

import pytest

from libs.events.generation import FailureCode, GenerationCancelRequested
from services.gateway.tests.integration.conftest import RunningGateway
from services.gateway.tests.integration.test_jobs import failure, job_in, success


async def test_jobs_are_listed_page_by_page_the_newest_first(gateway: RunningGateway) -> None:
    ada, bob = await gateway.sign_up(), await gateway.sign_up()
    made = [str(await ada.start_job()) for _ in range(5)]
    await bob.start_job()
    listed: list[str] = []
    path = "/api/jobs?limit=2"
    while path:
        answer = await ada.get(path)
        assert answer.status_code == 200, answer.text
        listed += [each["id"] for each in answer.json()]
        path = answer.headers.get("link", "").partition("<")[2].partition(">")[0]
    assert listed == made[::-1]
    assert (await ada.get("/api/jobs?cursor=nonsense")).json()["code"] == "invalid_cursor"


async def test_a_list_can_be_of_one_type_or_status(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    await ada.start_job()
    assert (await ada.get("/api/jobs")).json()[0]["type"] == "IMAGE_GENERATION"
    for query, count in (
        ("type=IMAGE_GENERATION", 1), ("type=VIDEO_GENERATION", 0), ("type=IMAGE_EDIT", 0),
        ("status=PENDING", 1), ("status=COMPLETED", 0),
    ):  # fmt: skip
        assert len((await ada.get(f"/api/jobs?{query}")).json()) == count, query
    assert (await ada.get("/api/jobs?type=SONG")).status_code == 400


async def test_a_job_is_called_off_by_its_owner_alone(gateway: RunningGateway) -> None:
    ada, bob = await gateway.sign_up(), await gateway.sign_up()
    job_id = await ada.start_job()
    for path in (f"/api/jobs/{job_id}", f"/api/jobs/{uuid4()}", "/api/jobs/none"):
        assert (await bob.delete(path)).status_code == 404
    answer = await ada.delete(f"/api/jobs/{job_id}")
    assert (answer.status_code, answer.json()["status"]) == (202, "PENDING")
    again = await asyncio.gather(*(ada.post(f"/api/jobs/{job_id}/cancel", {}) for _ in range(5)))
    assert {each.status_code for each in again} == {202}
    asked = [e for e in await gateway.published() if isinstance(e, GenerationCancelRequested)]
    assert [(e.job_id, e.account_id, e.user_id) for e in asked] == [
        (job_id, ada.user_id, ada.user_id)
    ]  # once, however often it was asked for

    await gateway.tell(*failure(await gateway.facts(job_id), FailureCode.CANCELLED))
    await job_in(ada, job_id, "CANCELLED")
    answer = await ada.delete(f"/api/jobs/{job_id}")
    assert (answer.status_code, answer.json()["status"]) == (200, "CANCELLED")
    told = [e for e in await gateway.published() if isinstance(e, GenerationCancelRequested)]
    assert len(told) == len(asked)
    assert UUID(answer.json()["id"]) == job_id
    assert await ada.credits() == 20


async def test_a_job_that_waits_says_who_is_before_it_and_how_long_others_took(
    gateway: RunningGateway,
) -> None:
    ada, bob = await gateway.sign_up(), await gateway.sign_up()
    first, second = await ada.start_job(), await bob.start_job()
    other = await ada.start_job(provider="flux")
    for who, job_id, position in ((ada, first, 0), (bob, second, 1), (ada, other, 0)):
        job = (await who.get(f"/api/jobs/{job_id}")).json()
        assert (job["queuePosition"], job["etaSeconds"]) == (position, None)
    await gateway.tell(*success(await gateway.facts(first)))
    ended = await job_in(ada, first, "COMPLETED")
    assert (ended["queuePosition"], ended["etaSeconds"]) == (None, None)
    # It had taken an hour, as far as anybody can tell; and what was known is forgotten.
    await gateway.run(
        "UPDATE job SET created_at = created_at - interval '1 hour' WHERE job_id = $1", first
    )
    async with asyncio.timeout(60):
        while (job := (await bob.get(f"/api/jobs/{second}")).json())["etaSeconds"] is None or (
            job["etaSeconds"] < 3_000
        ):
            await asyncio.sleep(0.2)
    assert (job["queuePosition"], job["etaSeconds"]) == (0, pytest.approx(3_600, abs=120))
    assert (await ada.get(f"/api/jobs/{other}")).json()["etaSeconds"] is None  # of another kind
    then = (await bob.get(f"/api/jobs/{second}?asOf={job['createdAt']}")).json()
    assert then["queuePosition"] is None
