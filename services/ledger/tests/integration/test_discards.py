"""A request that no release of the ledger can read, given up: its job is closed all the same."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from libs.events.credits import CreditsCaptured, CreditsEvent, CreditsReleased, CreditsReserved
from libs.events.envelope import encode
from libs.events.generation import FailureCode, RequestFacts
from libs.events.names import Service, Topic
from libs.events.payload import Payload
from libs.events.testing import event as event_of
from libs.runtime.auth import Principal
from libs.runtime.deadletters_http import INTERNAL_PREFIX
from services.ledger.tests.builders import completed, facts, failed, registered, requested
from services.ledger.tests.integration.audit import audit
from services.ledger.tests.integration.conftest import RunningLedger

DEADLINE_SECONDS = 60.0
UNITS = 3


def unreadable(request: RequestFacts) -> bytes:
    encoded = encode(event_of(requested(request)))
    return encoded.replace(f'"units":{UNITS}'.encode(), b'"units":"three"')


async def rows(ledger: RunningLedger, query: str) -> list[Any]:
    async with ledger.books.streams.database.read() as connection:
        return [tuple(row) for row in await connection.fetch(query)]


async def until(ledger: RunningLedger, count: int, query: str) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while len(await rows(ledger, query)) < count:
            await asyncio.sleep(0.05)


async def discard(ledger: RunningLedger, *, is_dry_run: bool = False) -> httpx2.Response:
    admin = Principal(user_id=uuid4(), role="ADMIN", account_id=uuid4())
    token = ledger.tokens.issue(admin, Service.LEDGER)
    ((head,),) = await rows(ledger, "SELECT parked_id FROM parked WHERE reason = 'invalid_data'")
    return await ledger.client.post(
        f"{INTERNAL_PREFIX}/{head}/discard",
        json={"dryRun": is_dry_run, "reason": "no release reads it"},
        headers={"Authorization": f"Bearer {token}"},
    )


async def told_of(ledger: RunningLedger, job_id: UUID) -> Sequence[CreditsEvent]:
    return [each for each in await ledger.books.told() if getattr(each, "job_id", None) == job_id]


@pytest.fixture
def request_() -> RequestFacts:
    return facts(uuid4(), uuid4(), units=UNITS)


PARKED = "SELECT FROM parked WHERE resolved_at IS NULL"
WAITING = "SELECT FROM waiting"
SETTLED = "SELECT sum(remaining)::int FROM lot"

UNPROCESSABLE = "unprocessable"
FAILED = "failed"
COMPLETED = "completed"


def answer_to(request: RequestFacts, kind: str) -> Payload:
    if kind == COMPLETED:
        return completed(request, 2)
    if kind == FAILED:
        return failed(request)
    return failed(request, FailureCode.UNPROCESSABLE, is_readable=False)


@pytest.mark.parametrize("is_answer_first", [False, True])
@pytest.mark.parametrize(
    ("kind", "reserved", "left"), [(UNPROCESSABLE, 0, 20), (FAILED, 0, 20), (COMPLETED, UNITS, 18)]
)
async def test_a_discarded_request_is_closed_by_its_answer(
    running: RunningLedger,
    request_: RequestFacts,
    kind: str,
    reserved: int,
    left: int,
    is_answer_first: bool,
) -> None:
    await running.tell(Topic.IDENTITY, registered(request_.account_id))
    await until(running, 1, "SELECT FROM lot")
    answer = event_of(answer_to(request_, kind))
    if is_answer_first:  # as after a republishing
        await running.send(Topic.GENERATION, encode(answer))
        await until(running, 1, WAITING)
        await running.send(Topic.GENERATION, unreadable(request_))
        await until(running, 1, PARKED)
    else:
        await running.send(Topic.GENERATION, unreadable(request_), encode(answer))
        await until(running, 2, PARKED)
    tried = await discard(running, is_dry_run=True)
    assert tried.status_code == 200, tried.text
    assert await told_of(running, request_.job_id) == []
    done = await discard(running)
    assert done.status_code == 200, done.text
    assert done.json()["steps"] == tried.json()["steps"]

    first, second = await told_of(running, request_.job_id)
    assert isinstance(first, CreditsReserved)
    assert first.credits == reserved
    assert isinstance(second, CreditsCaptured if kind == COMPLETED else CreditsReleased)
    published = await running.books.published()
    caused = [each.causation_id for each in published if each.data in (first, second)]
    assert caused == [answer.id] * 2
    assert await rows(running, SETTLED) == [(left,)]
    assert await rows(running, PARKED) == await rows(running, WAITING) == []

    # Told once more, and readable this time: it was reserved and closed already.
    await running.tell(Topic.GENERATION, requested(request_), registered(uuid4()))
    await until(running, 2, "SELECT FROM inbox")
    assert len(await told_of(running, request_.job_id)) == 2
    async with running.books.streams.database.read() as connection:
        await audit(connection)


async def test_a_request_without_an_answer_is_not_given_up(
    running: RunningLedger, request_: RequestFacts
) -> None:
    await running.tell(Topic.IDENTITY, registered(request_.account_id))
    await running.send(Topic.GENERATION, unreadable(request_))
    await until(running, 1, PARKED)
    refused = await discard(running)
    assert (refused.status_code, refused.json()["code"]) == (409, "discard_refused")
    assert "discard the request at generation first" in refused.json()["message"]
    assert len(await rows(running, PARKED)) == 1


async def test_nothing_is_reserved_in_an_account_that_is_not_open(
    running: RunningLedger, request_: RequestFacts
) -> None:
    await running.send(Topic.GENERATION, unreadable(request_))
    await running.tell(Topic.GENERATION, failed(request_))
    await until(running, 2, PARKED)
    refused = await discard(running)
    assert refused.status_code == 409
    assert "not open yet" in refused.json()["message"]
    assert len(await rows(running, PARKED)) == 2
    assert await rows(running, WAITING) == []


async def test_a_request_that_was_told_under_another_id_may_go(
    running: RunningLedger, request_: RequestFacts
) -> None:
    await running.tell(Topic.IDENTITY, registered(request_.account_id))
    await running.tell(Topic.GENERATION, requested(request_))
    await until(running, 1, "SELECT FROM reservation")
    await running.send(Topic.GENERATION, unreadable(request_))
    await until(running, 1, PARKED)
    assert (await discard(running)).status_code == 200
    assert len(await told_of(running, request_.job_id)) == 1
