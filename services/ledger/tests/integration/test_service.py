"""The whole ledger: events in over Kafka, events out over Kafka, balances over HTTP."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

from libs.events.credits import CreditsCaptured, CreditsGranted, CreditsReserved
from libs.events.names import Service, Topic
from libs.runtime.auth import Principal
from services.ledger.tests.builders import completed, facts, registered, requested
from services.ledger.tests.integration.audit import audit
from services.ledger.tests.integration.conftest import RunningLedger

DEADLINE_SECONDS = 60.0


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not await condition():
            await asyncio.sleep(0.05)


def person(account_id: UUID) -> Principal:
    return Principal(user_id=account_id, role="USER", account_id=account_id)


async def balance(ledger: RunningLedger, account_id: UUID) -> dict[str, Any]:
    answer = await ledger.get("/api/credits/balance", person(account_id))
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def reach(ledger: RunningLedger, account_id: UUID, version: int) -> dict[str, Any]:
    async def is_there() -> bool:
        return bool((await balance(ledger, account_id))["version"] >= version)

    await eventually(is_there)
    return await balance(ledger, account_id)


async def test_a_generation_goes_through_the_books_and_can_be_read(running: RunningLedger) -> None:
    account_id = uuid4()
    first, second = (facts(account_id, uuid4(), unit_credits=2, units=2) for _ in range(2))
    await running.tell(Topic.GENERATION, requested(first), requested(second), completed(first, 1))
    await running.tell(Topic.IDENTITY, registered(account_id, signup_credits=10, grace=3))
    shown = await reach(running, account_id, 4)
    (lot,) = shown.pop("lots")
    assert shown == {
        "accountId": str(account_id),
        "version": 4,
        "settled": 8,
        "reserved": 4,
        "grace": 3,
        "overdraft": 0,
        "debt": 0,
        "available": 7,
        "wallets": {"subscription": 0, "topup": 0, "promo": 4},
    }
    assert (lot["wallet"], lot["credits"], lot["remaining"], lot["source"]) == (
        "promo",
        10,
        4,
        "signup",
    )
    assert lot["expiresAt"] is None
    assert [type(each) for each in await running.books.told()] == [
        CreditsGranted,
        CreditsReserved,
        CreditsReserved,
        CreditsCaptured,
    ]


async def test_an_account_that_is_not_open_yet_reads_as_version_zero(
    running: RunningLedger,
) -> None:
    account_id = uuid4()
    shown = await balance(running, account_id)
    assert (shown["version"], shown["settled"], shown["lots"]) == (0, 0, [])
    answer = await running.get("/api/credits/transactions", person(account_id))
    assert answer.json() == {"items": [], "nextCursor": None}


async def test_transactions_are_listed_newest_first_by_page_and_by_job(
    running: RunningLedger,
) -> None:
    account_id, job_id = uuid4(), uuid4()
    request = facts(account_id, job_id, units=2)
    await running.books.book(
        registered(account_id, signup_credits=1), requested(request), completed(request, 1)
    )
    path = "/api/credits/transactions"
    page = (await running.get(f"{path}?limit=2", person(account_id))).json()
    assert [each["kind"] for each in page["items"]] == ["capture", "reserve"]
    rest = await running.get(f"{path}?limit=2&cursor={page['nextCursor']}", person(account_id))
    assert [each["kind"] for each in rest.json()["items"]] == ["grant"]
    assert rest.json()["nextCursor"] is None
    of_job = (await running.get(f"{path}?jobId={job_id}", person(account_id))).json()
    assert of_job["items"] == page["items"]
    capture = of_job["items"][0]
    assert [(each["book"], each["credits"]) for each in capture["entries"]] == [
        ("reserved", -2),
        ("revenue", 1),
        ("overdraft", 1),
    ]
    assert capture["eventId"] in {str(each.id) for each in await running.books.published()}
    assert (capture["jobId"], capture["settledAfter"]) == (str(job_id), 0)


async def test_nobody_sees_the_books_of_others(running: RunningLedger) -> None:
    account_id, job_id = uuid4(), uuid4()
    await running.books.book(registered(account_id), requested(facts(account_id, job_id)))
    path = f"/api/credits/transactions?jobId={job_id}"
    assert (await running.get(path, person(uuid4()))).json()["items"] == []
    assert len((await running.get(path, person(account_id))).json()["items"]) == 1


async def test_only_the_gateway_may_ask(running: RunningLedger) -> None:
    path = "/api/credits/balance"
    assert (await running.client.get(path)).status_code == 401
    other = await running.get(path, person(uuid4()), Service.BILLING)
    assert other.status_code == 401


async def test_a_page_that_cannot_be_is_refused(running: RunningLedger) -> None:
    for query in ("limit=0", "limit=1000", "cursor=x", "jobId=x"):
        answer = await running.get(f"/api/credits/transactions?{query}", person(uuid4()))
        assert answer.status_code in {400, 422}, answer.text
        assert answer.json()["error"]


async def test_a_poison_message_in_the_middle_loses_no_other(running: RunningLedger) -> None:
    account_id = uuid4()
    good = [facts(account_id, uuid4()) for _ in range(3)]
    bad = facts(account_id, uuid4(), units=-1)
    await running.tell(Topic.IDENTITY, registered(account_id))
    await reach(running, account_id, 1)
    await running.tell(
        Topic.GENERATION,
        requested(good[0]),
        requested(bad),
        requested(good[1]),
        completed(good[0]),
        completed(bad, 0),
        requested(good[2]),
    )
    shown = await reach(running, account_id, 5)
    assert (shown["settled"], shown["reserved"]) == (19, 2)
    async with running.books.streams.database.read() as connection:
        parked = await connection.fetch("SELECT order_key, reason FROM parked ORDER BY sequence")
        await audit(connection)
    assert [tuple(each) for each in parked] == [
        (str(bad.job_id), "ledger_invalid_input"),
        (str(bad.job_id), "behind"),
    ]


async def test_the_future_is_not_known(running: RunningLedger) -> None:
    future = quote((datetime.now(UTC) + timedelta(hours=1)).isoformat())
    for wrong, code in ((future, "as_of_in_the_future"), ("soon", "invalid_request")):
        answer = await running.get(f"/api/credits/balance?asOf={wrong}", person(uuid4()))
        assert (answer.status_code, answer.json()["code"]) == (400, code)
