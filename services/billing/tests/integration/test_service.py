"""Billing as its neighbours see it: events in, events and HTTP answers out."""

import asyncio
import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote
from uuid import UUID, uuid4

import msgspec
import pytest

from libs.events.billing import UsageRecorded
from libs.events.envelope import Event, encode
from libs.events.generation import FailureCode, GenerationCancelRequested
from libs.events.names import Service
from libs.events.payload import Payload
from libs.events.registry import REGISTRY
from libs.events.testing import NOW, completed, event, failed, request_facts
from libs.runtime.auth import Principal
from services.billing.domain.usage import usage_of
from services.billing.tests.integration.conftest import RunningBilling

DEADLINE_SECONDS = 60.0


def person(user_id: UUID) -> Principal:
    return Principal(user_id=user_id, role="USER", account_id=user_id)


def admin() -> Principal:
    return msgspec.structs.replace(person(uuid4()), role="ADMIN")


async def recorded(billing: RunningBilling, count: int) -> list[UsageRecorded]:
    """What billing has told of jobs, once that is so much."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while len(told := await _told(billing)) < count:
            await asyncio.sleep(0.02)
    return told


async def _told(billing: RunningBilling) -> list[UsageRecorded]:
    published = await billing.streams.published()
    # Rows without an event id are parked messages, on their way to the dead letters.
    told = [REGISTRY.decode(encoded).data for event_id, encoded in published if event_id]
    return [data for data in told if isinstance(data, UsageRecorded)]


async def position(billing: RunningBilling) -> int:
    async with billing.streams.database.read() as connection:
        return int(await connection.fetchval("SELECT sum(next_offset) FROM position") or 0)


async def until_read(billing: RunningBilling, messages: int) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while await position(billing) < messages:
            await asyncio.sleep(0.02)


async def test_a_finished_job_is_in_its_owners_usage_once_it_is_confirmed(
    billing: RunningBilling,
) -> None:
    request = request_facts(units=2, unit_credits=4)
    told = event(completed(request, input_tokens=5, provider_cost_microusd=6))
    await billing.tell(told)
    (confirmation,) = await recorded(billing, 1)

    answer = await billing.get(f"/api/usage/mine?jobId={request.job_id}", person(request.user_id))

    assert answer.status_code == 200
    assert answer.json() == {
        "items": [
            {
                "id": str(confirmation.usage_id),
                "jobId": str(request.job_id),
                "accountId": str(request.account_id),
                "userId": str(request.user_id),
                "workspaceId": None,
                "operation": "image",
                "provider": "local",
                "model": "local-sketch",
                "priceBookVersion": 1,
                "unitsRequested": 2,
                "unitsDelivered": 2,
                "credits": 8,
                "outcome": "completed",
                "errorCode": None,
                "inputTokens": 5,
                "outputTokens": 0,
                "queuedMs": 12,
                "providerMs": 345,
                "eventId": str(told.id),
                "correlationId": str(told.correlation_id),
                "requestedAt": "2026-01-02T03:04:03.678901Z",
                "occurredAt": "2026-01-02T03:04:05.678901Z",
            }
        ],
        "nextCursor": None,
    }


async def test_repeats_and_strangers_on_the_stream_leave_one_row_per_job(
    billing: RunningBilling,
) -> None:
    first, second, third = completed(), failed(), completed()
    told = event(first)
    unknown = encode(told).replace(b"daygen.generation.completed", b"daygen.generation.sung")
    cancel = event(GenerationCancelRequested(job_id=uuid4(), account_id=uuid4(), user_id=uuid4()))
    messages = [
        encode(told),
        encode(told),
        unknown,
        b"not an event",
        encode(cancel),
        encode(event(second)),
        encode(event(first)),
        encode(event(third)),
    ]

    await billing.send(*messages[:4])
    await until_read(billing, 4)
    await billing.send(*messages[4:], *messages)
    await until_read(billing, 12 + 4)

    answers = await recorded(billing, 3)
    jobs = [first.job_id, second.job_id, third.job_id]  # of three accounts, so in any order
    assert sorted(each.job_id for each in answers) == sorted(jobs)
    listed = await billing.get("/api/usage/events", admin())
    assert {item["jobId"] for item in listed.json()["items"]} == {
        str(each.job_id) for each in answers
    }


async def test_a_person_sees_nothing_of_others(billing: RunningBilling) -> None:
    mine, other = completed(), completed()
    await billing.tell(event(mine), event(other))
    await recorded(billing, 2)
    me = person(mine.request.user_id)

    listed = (await billing.get("/api/usage/mine", me)).json()["items"]
    named = (await billing.get(f"/api/usage/mine?jobId={other.job_id}", me)).json()["items"]
    everything = await billing.get("/api/usage/events", me)

    assert [item["jobId"] for item in listed] == [str(mine.job_id)]
    assert named == []
    assert everything.status_code == 403
    assert everything.json()["error"] == "Only an administrator may do this."


async def test_an_admin_sees_all_with_what_it_cost_us(billing: RunningBilling) -> None:
    unreadable = msgspec.structs.replace(failed(), request=None, code=FailureCode.UNPROCESSABLE)
    await billing.tell(event(completed(provider_cost_microusd=77)), event(unreadable))
    await recorded(billing, 2)

    items = (await billing.get("/api/usage/events", admin())).json()["items"]

    costs = {item["outcome"]: item["providerCostMicrousd"] for item in items}
    assert costs == {"completed": 77, "failed": 0}
    found = await billing.get(f"/api/usage/events?jobId={unreadable.job_id}", admin())
    (row,) = found.json()["items"]
    assert (row["accountId"], row["userId"]) == (str(unreadable.account_id), None)
    assert row["errorCode"] == "unprocessable"


async def test_an_admin_asks_for_what_they_want_and_exports_it(billing: RunningBilling) -> None:
    wanted = completed(request_facts(provider="flux", model="=1+1", operation="edit"))
    other = completed(request_facts(provider="local"))
    lost = failed(request_facts(provider="flux"))
    await billing.tell(event(wanted), event(other), event(lost), event(wanted))
    admin = Principal(user_id=uuid4(), role="ADMIN", account_id=uuid4())

    async def jobs(query: str) -> set[str]:
        answer = await billing.get(f"/api/usage/events?{query}", admin)
        assert answer.status_code == 200, answer.text
        return {each["jobId"] for each in answer.json()["items"]}

    async with asyncio.timeout(60):
        while len(await jobs("")) < 3:
            await asyncio.sleep(0.05)
    account = wanted.account_id
    for query, found in (
        ("provider=flux", [wanted, lost]),
        ("provider=flux&outcome=completed", [wanted]),
        ("outcome=failed", [lost]),
        ("model=%3D1%2B1", [wanted]),
        ("operation=edit", [wanted]),
        (f"userId={wanted.request.user_id}", [wanted]),
        (f"accountId={account}&operation=image", []),
        ("since=2030-01-01T00:00:00Z", []),
        ("until=2030-01-01T00:00:00Z", [wanted, other, lost]),
        (f"jobId={other.job_id}", [other]),
    ):
        assert await jobs(query) == {str(each.job_id) for each in found}, query
    whole = await billing.get("/api/usage/events/export?format=json&provider=flux", admin)
    assert {each["job_id"] for each in whole.json()} == {str(wanted.job_id), str(lost.job_id)}
    sheet = await billing.get("/api/usage/events/export?operation=edit", admin)
    assert sheet.headers["content-type"].startswith("text/csv")
    (row,) = csv.DictReader(io.StringIO(sheet.text))
    assert (row["job_id"], row["provider_cost_source"]) == (str(wanted.job_id), "unknown")
    assert row["model"] == "'=1+1"  # no spreadsheet takes it for a formula
    person = Principal(user_id=uuid4(), role="USER", account_id=uuid4())
    for path in ("/api/usage/events", "/api/usage/events/export"):
        assert (await billing.get(path, person)).status_code == 403


async def test_pages_follow_each_other_while_rows_are_added(billing: RunningBilling) -> None:
    user_id = uuid4()

    def jobs(count: int, seconds: int) -> list[Event[Payload]]:
        at = NOW + timedelta(seconds=seconds)
        return [event(completed(request_facts(user_id=user_id)), time=at) for _ in range(count)]

    await billing.tell(*jobs(3, 0), *jobs(2, 1))
    await recorded(billing, 5)
    me = person(user_id)

    seen: list[str] = []
    query: str | None = "?limit=2"
    while query is not None:
        page = (await billing.get(f"/api/usage/mine{query}", me)).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["nextCursor"]
        query = None if cursor is None else f"?limit=2&cursor={cursor}"
        known = len(await recorded(billing, 5))
        await billing.tell(*jobs(1, 60))
        await recorded(billing, known + 1)

    assert len(seen) == len(set(seen)) == 5


BAD_QUERIES: Final[list[str]] = [
    "limit=0",
    "limit=201",
    "limit=x",
    "jobId=x",
    "cursor=x",
    "provider=%00",
    "model=a%00",
]


async def test_a_query_that_makes_no_sense_is_refused(
    billing: RunningBilling, subtests: pytest.Subtests
) -> None:
    for query in BAD_QUERIES:
        with subtests.test(query):
            answer = await billing.get(f"/api/usage/mine?{query}", person(uuid4()))
            assert answer.status_code == 400
            assert isinstance(answer.json()["message"], str)


async def test_only_the_gateway_is_answered(billing: RunningBilling) -> None:
    for path in ("/api/usage/mine", "/api/usage/events"):
        assert (await billing.client.get(path)).status_code == 401
        for_another = await billing.get(path, admin(), audience=Service.GALLERY)
        assert for_another.status_code == 401


async def test_usage_as_of_a_time_is_the_fold_of_the_events_until_then(
    billing: RunningBilling,
) -> None:
    user_id = uuid4()
    answers = [completed, failed, completed]
    told = [
        event(answer(request_facts(user_id=user_id)), time=NOW + timedelta(seconds=number))
        for number, answer in enumerate(answers)
    ]
    await billing.tell(*told)
    await recorded(billing, 3)
    for path, who in (("mine", person(user_id)), ("events", admin())):
        for each in told:
            until = [usage_of(one) for one in told if one.time <= each.time]
            at = quote(each.time.isoformat())
            answer = await billing.get(f"/api/usage/{path}?asOf={at}", who)
            listed = [(row["jobId"], row["credits"]) for row in answer.json()["items"]]
            folded = [(str(usage.job_id), usage.credits) for usage in until if usage]
            assert listed == folded[::-1]
        future = quote((datetime.now(UTC) + timedelta(hours=1)).isoformat())
        for wrong, code in ((future, "as_of_in_the_future"), ("soon", "invalid_request")):
            answer = await billing.get(f"/api/usage/{path}?asOf={wrong}", who)
            assert (answer.status_code, answer.json()["code"]) == (400, code)
