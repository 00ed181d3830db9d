"""A job's life as its owner sees it: polled and waited for, while the services speak."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote
from uuid import UUID

from fastapi import FastAPI, Request, Response

from libs.events.billing import UsageOutcome
from libs.events.generation import FailureCode, GenerationStarted, RequestFacts
from libs.events.payload import Payload
from libs.events.testing import completed, failed, stored_image
from libs.runtime.testing_http import serving
from services.gateway.tests import stories
from services.gateway.tests.integration.conftest import Person, RunningGateway, Start

PICTURE = b"\x89PNG not really"
WAIT_SECONDS = 60.0


def success(facts: RequestFacts, *, version: int = 2, settled: int = 19) -> list[Payload]:
    """What the services say of a job that made a picture, in causal order."""
    account_id, job_id = facts.account_id, facts.job_id
    image = stored_image(PICTURE, key=f"attempts/{job_id}/1.png")
    return [
        GenerationStarted(job_id=job_id, account_id=account_id, attempt=1),
        completed(facts, images=(image,), seed=7),
        stories.captured(account_id, job_id, version=version, settled=settled),
        stories.listed(account_id, job_id),
        stories.recorded(account_id, job_id, UsageOutcome.COMPLETED),
    ]


def failure(facts: RequestFacts, code: FailureCode, *, version: int = 2) -> list[Payload]:
    account_id, job_id = facts.account_id, facts.job_id
    return [
        failed(facts, code=code, message="The provider said no."),
        stories.released(account_id, job_id, version=version, settled=20),
        stories.recorded(account_id, job_id, UsageOutcome.FAILED),
    ]


async def job_in(person: Person, job_id: UUID, status: str) -> dict[str, Any]:
    """The job once it has a status."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            job: dict[str, Any] = (await person.get(f"/api/jobs/{job_id}")).json()
            if job["status"] == status:
                return job
            await asyncio.sleep(0.02)


async def test_a_job_is_completed_with_the_last_confirmation(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    job_id = await ada.start_job()
    started, answer, charge, listing, usage = success(await gateway.facts(job_id))

    await gateway.tell(started)
    job = await job_in(ada, job_id, "PROCESSING")
    assert (job["stage"], job["resultUrl"]) == ("generating", None)
    await gateway.tell(answer, charge, listing)
    async with asyncio.timeout(WAIT_SECONDS):
        while not (job := await job_in(ada, job_id, "PROCESSING"))["metadata"]["results"]:
            await asyncio.sleep(0.02)
    assert (job["stage"], job["resultUrl"]) == ("finalising", None)
    await gateway.tell(usage)

    job = await job_in(ada, job_id, "COMPLETED")
    url = job["resultUrl"]
    plain, _, signature = url.partition("?")
    assert plain == f"https://daygen.test/assets/attempts/{job_id}/1.png"
    assert signature.startswith("expires=")
    assert (job["progress"], job["resultUrl"], job["error"]) == (100, url, None)
    assert job["metadata"]["fileUrl"] == job["metadata"]["results"][0] == url
    assert job["metadata"]["r2FileId"]
    assert job["metadata"]["seed"] == 7
    assert job["credits"]["charged"] == stories.PRICE
    assert job["finishedAt"]
    assert await ada.credits() == 19
    assert await gateway.value("SELECT held FROM credit_account") == 0


async def test_a_job_can_be_read_as_it_stood(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    job_id = await ada.start_job()
    admitted = datetime.now(UTC)
    _, answer, *rest = success(await gateway.facts(job_id))
    answered, ended = (admitted + timedelta(milliseconds=each) for each in (20, 40))
    await gateway.tell(answer, at=answered)
    await gateway.tell(*rest, at=ended)
    job = await job_in(ada, job_id, "COMPLETED")

    async def read(at: datetime) -> Any:
        return await ada.get(f"/api/jobs/{job_id}?asOf={quote(at.isoformat())}")

    assert (await read(datetime.now(UTC))).json() == job
    then = (await read(answered)).json()
    assert (then["status"], then["stage"]) == ("PROCESSING", "finalising")
    then = (await read(admitted)).json()
    assert (then["status"], then["credits"]["charged"]) == ("PENDING", None)
    assert (await read(admitted - timedelta(minutes=5))).status_code == 404
    future = await read(datetime.now(UTC) + timedelta(minutes=5))
    assert (future.status_code, future.json()["code"]) == (400, "as_of_in_the_future")
    malformed = await ada.get(f"/api/jobs/{job_id}?asOf=yesterday")
    assert (malformed.status_code, malformed.json()["code"]) == (400, "invalid_request")


async def test_a_failed_job_frees_its_credits_and_says_why(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    job_id = await ada.start_job()
    assert await ada.credits() == 19
    await gateway.tell(*failure(await gateway.facts(job_id), FailureCode.SERVER))
    job = await job_in(ada, job_id, "FAILED")
    assert (job["error"], job["errorCode"]) == ("The provider said no.", "server")
    assert (job["resultUrl"], job["credits"]["charged"]) == (None, 0)
    assert await ada.credits() == 20


async def test_a_cancelled_job_says_so(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    job_id = await ada.start_job()
    await gateway.tell(*failure(await gateway.facts(job_id), FailureCode.CANCELLED))
    assert (await job_in(ada, job_id, "CANCELLED"))["stage"] == "cancelled"


async def test_repeats_under_new_ids_close_a_hold_once(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    first, second = await ada.start_job(), await ada.start_job()
    told = success(await gateway.facts(first))
    await gateway.tell(*told, *told, *reversed(told))
    await job_in(ada, first, "COMPLETED")
    more = success(await gateway.facts(second), version=3, settled=18)
    await gateway.tell(*more, *told)
    await job_in(ada, second, "COMPLETED")
    assert await ada.credits() == 18
    row = await gateway.value("SELECT (version, settled, held) FROM credit_account")
    assert row == (3, 18, 0)


async def test_an_event_of_a_stranger_is_parked_and_the_rest_goes_on(
    gateway: RunningGateway,
) -> None:
    ada = await gateway.sign_up()
    job_id = await ada.start_job()
    facts = await gateway.facts(job_id)
    await gateway.tell(completed(), *success(facts))
    await job_in(ada, job_id, "COMPLETED")
    async with asyncio.timeout(WAIT_SECONDS):
        while await gateway.value("SELECT count(*) FROM parked") == 0:
            await asyncio.sleep(0.02)
    assert await gateway.value("SELECT reason FROM parked") == "unknown_subject"


def gallery(served: dict[str, bytes]) -> FastAPI:
    """An owner that serves assets, as the gallery does."""
    app = FastAPI()

    @app.get("/assets/{key:path}")
    async def asset(key: str, request: Request) -> Response:
        assert "authorization" not in request.headers
        return Response(served[key], media_type="image/png")

    return app


async def test_the_waiting_route_answers_the_picture_of_its_job(start_gateway: Start) -> None:
    served: dict[str, bytes] = {}
    async with serving(gallery(served)) as gallery_url:
        gateway = await start_gateway(gallery_url=gallery_url)
        ada = await gateway.sign_up()
        body = {"model": "local-sketch", "prompt": "a fox"}
        key = {"Idempotency-Key": "one"}
        waiting = [
            asyncio.create_task(ada.post("/api/unified-generate", body, **key)) for _ in range(3)
        ]
        job_id = await only_job(gateway)
        served[f"attempts/{job_id}/1.png"] = PICTURE
        await gateway.tell(*success(await gateway.facts(job_id)))
        answers = await asyncio.gather(*waiting)
    url = answers[0].json()["dataUrl"]
    assert url.startswith(f"https://daygen.test/assets/attempts/{job_id}/1.png?expires=")
    assert {answer.status_code for answer in answers} == {200}
    assert answers[0].json() == answers[1].json() == answers[2].json()
    assert answers[0].json() == {
        "success": True,
        "jobId": str(job_id),
        "status": "completed",
        "provider": "local",
        "model": "local-sketch",
        "mimeType": "image/png",
        "contentType": "image/png",
        "imageBase64": "iVBORyBub3QgcmVhbGx5",
        "dataUrl": url,
        "dataUrls": [url],
        "images": [url],
    }


async def only_job(gateway: RunningGateway) -> UUID:
    async with asyncio.timeout(WAIT_SECONDS):
        while not (job_id := await gateway.value("SELECT job_id FROM job")):
            await asyncio.sleep(0.02)
    assert isinstance(job_id, UUID)
    return job_id


async def test_a_picture_that_cannot_be_inlined_now_still_has_its_address(
    gateway: RunningGateway,
) -> None:
    ada = await gateway.sign_up()
    waiting = asyncio.create_task(ada.post("/api/image/local", {"prompt": "a fox"}))
    job_id = await only_job(gateway)
    await gateway.tell(*success(await gateway.facts(job_id)))
    answer = await waiting
    assert answer.status_code == 200
    assert answer.json()["imageBase64"] is None
    assert f"/assets/attempts/{job_id}/1.png?" in answer.json()["dataUrl"]


async def test_a_waiting_client_can_ask_not_to_wait(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    answer = await ada.post("/api/image/local", {"prompt": "a fox"}, Prefer="wait=5, respond-async")
    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "respond-async"
    job_id = answer.json()["jobId"]
    assert answer.headers["location"] == f"/api/jobs/{job_id}"


async def test_a_client_that_waits_too_long_learns_the_job(start_gateway: Start) -> None:
    gateway = await start_gateway(wait_seconds=1)
    ada = await gateway.sign_up()
    answer = await ada.post("/api/image/local", {"prompt": "a fox"})
    assert (answer.status_code, answer.json()["code"]) == (504, "still_running")
    job_id = UUID(answer.json()["jobId"])
    await gateway.tell(*success(await gateway.facts(job_id)))
    assert (await job_in(ada, job_id, "COMPLETED"))["id"] == str(job_id)


async def test_a_waiting_client_is_told_why_there_is_no_picture(
    gateway: RunningGateway,
) -> None:
    expected = {
        FailureCode.MODERATION: 422,
        FailureCode.BAD_REQUEST: 422,
        FailureCode.RATE_LIMIT: 502,
        FailureCode.SERVER: 502,
        FailureCode.DEADLINE: 504,
        FailureCode.CANCELLED: 409,
    }
    ada = await gateway.sign_up()
    for version, (code, status) in enumerate(expected.items(), start=2):
        await gateway.run("DELETE FROM job")
        waiting = asyncio.create_task(ada.post("/api/image/local", {"prompt": "a fox"}))
        job_id = await only_job(gateway)
        await gateway.tell(*failure(await gateway.facts(job_id), code, version=version))
        answer = await waiting
        assert answer.status_code == status
        assert answer.json()["jobId"] == str(job_id)
        assert answer.json()["failureCode"] == code.value
        assert answer.json()["error"] == "The provider said no."
