"""A request that is given up ends its job, once, from the envelope alone."""

import asyncio
from uuid import uuid4

import httpx2

from libs.events.envelope import encode
from libs.events.generation import FailureCode, GenerationFailed, GenerationRequested
from libs.events.names import Service
from libs.events.registry import REGISTRY
from libs.events.testing import event, request_facts
from libs.events.transport import OutgoingMessage
from libs.runtime.auth import InternalTokens, Principal, Role
from libs.runtime.clock import SystemClock
from services.generation.tests.integration.conftest import SECRET, RunningGeneration

PATH = "/internal/parked"


def headers(role: Role, audience: Service = Service.GENERATION) -> dict[str, str]:
    user_id = uuid4()
    principal = Principal(user_id=user_id, role=role, account_id=user_id)
    token = InternalTokens(SECRET, SystemClock()).issue(principal, audience)
    return {"Authorization": f"Bearer {token}"}


async def parked(generation: RunningGeneration) -> list[dict[str, str]]:
    answer = await generation.client.get(PATH, headers=headers("ADMIN"))
    assert answer.status_code == 200, answer.text
    items: list[dict[str, str]] = answer.json()["items"]
    return items


async def discard(client: httpx2.AsyncClient, parked_id: str) -> httpx2.Response:
    return await client.post(
        f"{PATH}/{parked_id}/discard",
        json={"reason": "unreadable", "dryRun": False},
        headers=headers("ADMIN"),
    )


async def test_a_discarded_request_becomes_one_failure_of_its_job(
    generation: RunningGeneration,
) -> None:
    request = request_facts()
    requested = event(
        GenerationRequested(job_id=request.job_id, account_id=request.account_id, request=request),
        source=Service.GATEWAY,
    )
    broken = encode(requested).replace(b'"units":1', b'"units":"one"')
    topic, key = requested.data.topic.value, requested.key.encode()
    await generation.bus.publish([OutgoingMessage(topic, key, broken)])

    async with asyncio.timeout(60):
        while not await parked(generation):
            await asyncio.sleep(0.05)
    (row,) = await parked(generation)
    answer = await discard(generation.client, row["parkedId"])
    assert answer.status_code == 200, answer.text
    published = [
        REGISTRY.decode(each) for event_id, each in await generation.streams.published() if event_id
    ]
    (failed,) = [each for each in published if isinstance(each.data, GenerationFailed)]
    assert failed.subject == str(request.job_id)
    data = failed.data
    assert isinstance(data, GenerationFailed)
    assert (data.code, data.request) == (FailureCode.UNPROCESSABLE, None)
    assert data.account_id == request.account_id
    assert (failed.causation_id, failed.correlation_id) == (requested.id, requested.correlation_id)
    again = await discard(generation.client, row["parkedId"])
    assert again.status_code == 409


async def test_only_an_administrator_sees_parked_messages(generation: RunningGeneration) -> None:
    client = generation.client
    assert (await client.get(PATH)).status_code == 401
    assert (await client.get(PATH, headers=headers("USER"))).status_code == 403
    other = headers("ADMIN", Service.LEDGER)
    assert (await client.get(PATH, headers=other)).status_code == 401
    assert (await client.get(PATH, headers=headers("ADMIN"))).status_code == 200


async def test_what_no_text_can_be_is_refused(generation: RunningGeneration) -> None:
    for query in ("type=%00", "reason=a%00"):
        answer = await generation.client.get(f"{PATH}?{query}", headers=headers("ADMIN"))
        assert answer.status_code == 400, answer.text
    for reason in ("nul \\u0000", "half a pair \\ud83d"):
        answer = await generation.client.post(
            f"{PATH}/{uuid4()}/discard",
            content=f'{{"reason": "{reason}", "dryRun": false}}',
            headers={**headers("ADMIN"), "Content-Type": "application/json"},
        )
        assert answer.status_code == 400, answer.text
