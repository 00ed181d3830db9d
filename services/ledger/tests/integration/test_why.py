"""Why, in words: for the person who asked, for administrators, and for nobody else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from urllib.parse import quote
from uuid import UUID, uuid4

import msgspec
import pytest

from libs.events.envelope import encode
from libs.events.generation import CostSource, FailureCode, RequestFacts
from libs.events.names import Topic
from libs.events.payload import Payload
from libs.events.testing import completed, failed
from libs.events.testing import event as event_of
from libs.runtime.db import Connection, Database
from services.ledger.domain.masks import INSIDE
from services.ledger.handlers.stories import Stories
from services.ledger.store.trail import Wanted
from services.ledger.tests.builders import facts, registered, requested
from services.ledger.tests.integration.conftest import Ledger, RunningLedger
from services.ledger.tests.integration.test_service import balance, eventually, person, reach
from services.ledger.tests.integration.test_trail import follow, seen, strange

NOW = datetime.now(UTC)


async def read(ledger: RunningLedger, path: str, *, user_id: UUID | None = None) -> Any:
    who = ledger.admin() if user_id is None else person(user_id)
    answer = await ledger.get(path, who)
    assert answer.status_code == 200, answer.text
    return answer.json()


def about(request: RequestFacts, data: Payload, at: datetime = NOW) -> bytes:
    """An event of a job's chain."""
    return encode(event_of(data, correlation_id=request.job_id, time=at))


async def charged(ledger: RunningLedger) -> RequestFacts:
    """A job that was asked for, delivered and charged; all of it is on the trail."""
    account_id = uuid4()
    request = facts(account_id, uuid4(), unit_credits=3, units=2, provider="openai")
    await ledger.tell(Topic.IDENTITY, registered(account_id))
    await reach(ledger, account_id, 1)
    done = completed(request, provider_cost_microusd=40_000, provider_cost_source=CostSource.LISTED)
    asked = about(request, requested(request), NOW - timedelta(seconds=1))
    await ledger.send(Topic.GENERATION, asked, about(request, done))

    async def is_told() -> bool:
        answer = await ledger.get(f"/api/jobs/{request.job_id}/why", person(account_id))
        return answer.status_code == 200 and len(answer.json()["steps"]) == 4

    await eventually(is_told)
    return request


async def test_a_person_reads_why_a_job_was_charged_and_an_administrator_more(
    running: RunningLedger,
) -> None:
    request = await charged(running)
    path = f"/api/jobs/{request.job_id}/why"
    story = await read(running, path, user_id=request.user_id)
    assert story["summary"] == "Completed: 2 of 2 units delivered, 6 credits charged."
    texts = [step["text"] for step in story["steps"]]
    assert texts[0].startswith("You asked openai")
    days = {f"{at:%Y-%m-%d}" for at in (NOW, datetime.now(UTC))}  # midnight may be in between
    assert any(f"6 from the promo lot of {day} (signup)" in text for text in texts for day in days)
    assert texts[-1].endswith("Your balance is 14.")
    told = await read(running, path)
    assert "40,000 micro-USD" in str(told)
    assert "micro-USD" not in str(story)
    for other in (uuid4(), uuid4()):
        answer = await running.get(path, person(other))
        assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")


async def test_a_refund_is_told_with_the_job_it_refunds(running: RunningLedger) -> None:
    request = await charged(running)
    rows = await running.get(
        f"/api/credits/transactions?jobId={request.job_id}", person(request.user_id)
    )
    capture = next(each for each in rows.json()["items"] if each["kind"] == "capture")
    body = {"transactionId": capture["transactionId"], "reason": "it was not what you wanted"}
    answer = await running.order(f"{request.account_id}/reversals", body, "once")
    assert answer.status_code in {200, 202}, answer.text

    async def is_told() -> bool:
        story = await read(running, f"/api/jobs/{request.job_id}/why", user_id=request.user_id)
        return bool(story["summary"].endswith("6 credits charged, 6 credits refunded later."))

    await eventually(is_told)


async def test_an_owner_lists_the_events_of_a_job_without_the_inside(
    running: RunningLedger,
) -> None:
    request = await charged(running)
    path = f"/api/jobs/{request.job_id}/trail"
    events = (await read(running, path, user_id=request.user_id))["items"]
    assert events[0]["type"] == "daygen.generation.requested"
    assert len(events) == 4
    assert not [name for name in INSIDE if f"'{name}':" in str(events)]
    assert "attempt_id" in str(await read(running, path))
    assert (await running.get(path, person(uuid4()))).status_code == 404


async def test_administrators_search_events_by_all_that_is_known_of_them(
    running: RunningLedger,
) -> None:
    mine, other = (facts(uuid4(), uuid4(), units=n) for n in (2, 5))
    workspace_id = uuid4()
    other = msgspec.structs.replace(other, workspace_id=workspace_id)
    times = [NOW - timedelta(days=days) for days in range(3)]
    await follow(
        running.books,
        *seen(
            about(mine, requested(mine), times[2]),
            about(mine, completed(mine), times[1]),
            about(other, requested(other), times[0]),
            strange(id=str(uuid4()), time=times[0].isoformat()),
        ),
    )
    for query, count in {
        "type=daygen.generation.requested": 2,
        "type=daygen.generation.requested&type=daygen.generation.completed": 3,
        "type=daygen.dream.had": 1,
        f"accountId={mine.account_id}": 2,
        f"userId={other.user_id}": 1,
        f"workspaceId={workspace_id}": 1,
        f"jobId={mine.job_id}": 2,
        f"subject={mine.job_id}": 2,
        f"correlationId={other.job_id}": 1,
        f"until={quote(times[1].isoformat())}": 1,
        f"since={quote(times[1].isoformat())}": 3,
        f"path={quote('$.request.units > 2')}": 1,
        f"path={quote('$.request.units ? (@ == 2)')}": 2,
        f"path={quote('$.words')}": 1,
        f"path={quote('$.nothing')}": 0,
        "": 4,
    }.items():
        found = await read(running, f"/api/admin/events?{query}")
        assert len(found["items"]) == count, query
        assert found["nextCursor"] is None, query


async def test_pages_of_events_miss_and_repeat_none(
    running: RunningLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.ledger.store.trail.LOOKED_INTO_MAX", 7)
    requests = [facts(uuid4(), UUID(int=number), units=1 + number % 5) for number in range(40)]
    at = [NOW - timedelta(hours=number // 2) for number in range(40)]
    await follow(
        running.books,
        *seen(
            *(about(each, requested(each), time) for each, time in zip(requests, at, strict=True))
        ),
    )
    for query, count in (("", 40), (f"&path={quote('$.request.units == 5')}", 8)):
        found: list[str] = []
        cursor = ""
        while True:
            page = await read(running, f"/api/admin/events?limit=3{query}{cursor}")
            found += [each["eventId"] for each in page["items"]]
            assert len(page["items"]) <= 3
            if page["nextCursor"] is None:
                break
            cursor = f"&cursor={page['nextCursor']}"
        assert len(found) == len(set(found)) == count


async def test_administrators_ask_why_of_a_person_a_time_and_of_failures(
    running: RunningLedger,
) -> None:
    fine, bad = (facts(uuid4(), uuid4()) for _ in range(2))
    early, late = NOW - timedelta(hours=30), NOW - timedelta(minutes=3)
    await follow(
        running.books,
        *seen(
            about(fine, requested(fine), early),
            about(fine, completed(fine), early),
            about(bad, requested(bad), late),
            about(bad, failed(bad, code=FailureCode.TIMEOUT), late),
        ),
    )

    async def jobs(query: str) -> list[str]:
        found = await read(running, f"/api/admin/why?{query}")
        return [each["correlationId"] for each in found["items"]]

    assert await jobs("") == [str(bad.job_id), str(fine.job_id)]
    assert await jobs("limit=1") == [str(bad.job_id)]
    assert await jobs("failed=true") == [str(bad.job_id)]
    assert await jobs(f"userId={fine.user_id}") == [str(fine.job_id)]
    assert await jobs(f"workspaceId={uuid4()}") == []
    assert await jobs(f"until={quote((NOW - timedelta(hours=1)).isoformat())}") == [
        str(fine.job_id)
    ]
    assert await jobs(f"correlationId={fine.job_id}") == [str(fine.job_id)]


class Counted:
    """A database whose statements are noted."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.statements: list[str] = []

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Connection]:
        async with self._database.read() as connection:
            with connection.query_logger(lambda record: self.statements.append(record.query)):
                yield connection


async def test_many_stories_take_no_more_statements_than_one(ledger: Ledger) -> None:
    told = [facts(uuid4(), uuid4()) for _ in range(5)]
    await follow(
        ledger,
        *seen(*(about(each, requested(each), NOW - timedelta(minutes=1)) for each in told)),
        *seen(*(about(each, completed(each)) for each in told)),
    )
    counts = []
    for limit in (1, 5):
        counted = Counted(ledger.streams.database)
        found = await Stories(cast("Database", counted)).newest([Wanted()], limit)
        assert len(found) == limit
        assert all(len(each.steps) == 2 for each in found)
        counts.append(len(counted.statements))
    assert counts[0] == counts[1]


async def test_what_cannot_be_asked_is_refused_in_a_sentence(running: RunningLedger) -> None:
    for query, status, code in (
        ("path=%24..(", 400, "invalid_path"),
        ("path=%24.a%00", 400, "invalid_request"),
        ("subject=%00", 400, "invalid_request"),
        ("type=%00", 400, "invalid_request"),
        ("cursor=x", 400, "invalid_cursor"),
        ("since=yesterday", 400, "invalid_request"),
        ("limit=0", 400, "invalid_request"),
    ):
        answer = await running.get(f"/api/admin/events?{query}", running.admin())
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
        assert answer.json()["message"]
    for path in ("/api/admin/events", "/api/admin/why"):
        assert (await running.get(path, running.user())).status_code == 403
    answer = await running.get("/api/jobs/none/why", running.user())
    assert answer.status_code in {400, 404}


async def test_the_books_answer_while_every_search_waits(running: RunningLedger) -> None:
    account_id = uuid4()
    await running.tell(Topic.IDENTITY, registered(account_id))
    await reach(running, account_id, 1)
    async with running.books.streams.database.transaction() as transaction:
        await transaction.connection.execute("LOCK TABLE trail IN ACCESS EXCLUSIVE MODE")
        waiting = [
            asyncio.create_task(running.get("/api/admin/events", running.admin())) for _ in range(8)
        ]
        await asyncio.sleep(0.5)
        async with asyncio.timeout(60):
            for _ in range(10):
                await balance(running, account_id)
        assert not any(each.done() for each in waiting)
    assert {each.status_code for each in await asyncio.gather(*waiting)} == {200}
