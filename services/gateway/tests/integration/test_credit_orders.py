"""Orders of administrators: passed on and waited for, or held here until the ledger has booked."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final
from uuid import UUID, uuid4

import pytest
from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response

from libs.events.credits import CreditsDeducted
from libs.events.identity import DeductionRequested
from libs.runtime.testing_http import serving
from services.gateway.tests.integration.conftest import Person, RunningGateway, Start
from services.gateway.tests.stories import granted

SIGNUP_CREDITS = 20


def ledger() -> FastAPI:
    """Books every order as the version that it asks for, and refuses what is too much."""
    app = FastAPI()

    @app.api_route("/api/admin/accounts/{account_id}/{what}", methods=["POST", "PUT"])
    async def book(account_id: UUID, what: str, request: Request) -> Response:
        body = await request.json()
        if body.get("credits") == 13:
            refusal = {"error": "no", "message": "no", "code": "ledger_invalid_input"}
            return JSONResponse(refusal, 400, media_type="application/problem+json")
        return JSONResponse(
            {
                "accountId": str(account_id),
                "accountVersion": body["credits"],
                "transactionId": str(uuid4()),
                "seen": [request.method, what, request.headers.get("idempotency-key")],
            }
        )

    return app


@pytest.fixture
async def gateway(start_gateway: Start) -> AsyncIterator[RunningGateway]:
    async with serving(ledger()) as url:
        yield await start_gateway(ledger_url=url)


@pytest.fixture
async def ada(gateway: RunningGateway) -> Person:
    return await gateway.sign_up()


@pytest.fixture
async def admin(gateway: RunningGateway) -> Person:
    person = await gateway.sign_up()
    await gateway.run("UPDATE users SET role = 'ADMIN' WHERE user_id = $1", person.user_id)
    return person


def grants(person: Person) -> str:
    return f"/api/admin/accounts/{person.user_id}/grants"


def deductions(person: Person) -> str:
    return f"/api/admin/accounts/{person.user_id}/deductions"


async def test_an_order_is_answered_once_the_copy_has_caught_up(
    gateway: RunningGateway, ada: Person, admin: Person
) -> None:
    order = asyncio.create_task(
        admin.post(grants(ada), {"credits": 3, "reason": "x"}, **{"Idempotency-Key": "k"})
    )
    await asyncio.sleep(0.3)
    assert not order.done()
    await gateway.tell(granted(ada.user_id, version=3, settled=50))
    answer = await order
    assert answer.status_code == 200, answer.text
    assert answer.json()["seen"] == ["POST", "grants", "k"]
    assert await ada.credits() == 50


async def test_an_order_that_takes_too_long_is_202_with_its_version(
    ada: Person, admin: Person
) -> None:
    answer = await admin.post(grants(ada), {"credits": 9, "reason": "x"})
    assert (answer.status_code, answer.json()["accountVersion"]) == (202, 9)


async def test_a_refusal_of_the_ledger_is_passed_on(ada: Person, admin: Person) -> None:
    answer = await admin.post(grants(ada), {"credits": 13, "reason": "x"})
    assert (answer.status_code, answer.json()["code"]) == (400, "ledger_invalid_input")


async def test_only_administrators_order(ada: Person) -> None:
    for path in (grants(ada), deductions(ada)):
        assert (await ada.post(path, {"credits": 1, "reason": "x"})).status_code == 403


async def requested(gateway: RunningGateway) -> list[DeductionRequested]:
    return [each for each in await gateway.published() if isinstance(each, DeductionRequested)]


def booked(asked: DeductionRequested, *, version: int, settled: int) -> CreditsDeducted:
    return CreditsDeducted(
        account_id=asked.account_id,
        account_version=version,
        settled_after=settled,
        grace_after=0,
        transaction_id=uuid4(),
        deduction_id=asked.deduction_id,
        credits=asked.credits,
        lots=(),
        actor=asked.actor,
        reason=asked.reason,
    )


async def until(gateway: RunningGateway, count: int) -> list[DeductionRequested]:
    async with asyncio.timeout(60):
        while len(found := await requested(gateway)) < count:
            await asyncio.sleep(0.02)
    return found


async def test_a_deduction_is_held_at_once_and_its_hold_ends_with_the_ledgers_word(
    gateway: RunningGateway, ada: Person, admin: Person
) -> None:
    order = asyncio.create_task(admin.post(deductions(ada), {"credits": 5, "reason": "A mistake."}))
    (asked,) = await until(gateway, 1)
    assert (asked.actor, asked.reason, asked.credits) == (admin.user_id, "A mistake.", 5)
    assert await ada.credits() == SIGNUP_CREDITS - 5
    told = booked(asked, version=2, settled=15)
    await gateway.tell(told)
    answer = await order
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "booked"
    await gateway.tell(told, told)
    await gateway.tell(granted(ada.user_id, version=3, settled=16))
    async with asyncio.timeout(60):
        while await ada.credits() != 16:
            await asyncio.sleep(0.02)
    assert await gateway.value("SELECT sum(held) FROM credit_account") == 0
    assert await gateway.value("SELECT count(*) FROM parked") == 0


async def test_the_hold_ends_though_the_copy_is_already_newer(
    gateway: RunningGateway, ada: Person, admin: Person
) -> None:
    answer = await admin.post(deductions(ada), {"credits": 5, "reason": "x"})
    assert (answer.status_code, answer.json()["status"]) == (202, "held")
    (asked,) = await requested(gateway)
    await gateway.tell(granted(ada.user_id, version=9, settled=40))
    await gateway.tell(booked(asked, version=2, settled=15))
    shown = f"/api/admin/deductions/{answer.json()['deductionId']}"
    assert answer.headers["location"] == shown
    async with asyncio.timeout(60):
        while (await admin.get(shown)).json()["status"] != "booked":
            await asyncio.sleep(0.02)
    assert await ada.credits() == 40


async def test_parallel_deductions_take_what_is_there_and_never_more(
    gateway: RunningGateway, ada: Person, admin: Person
) -> None:
    orders = [
        asyncio.create_task(admin.post(deductions(ada), {"credits": 6, "reason": "x"}))
        for _ in range(10)
    ]
    for number, asked in enumerate(await until(gateway, 3)):
        await gateway.tell(booked(asked, version=2 + number, settled=14 - 6 * number))
    answers = await asyncio.gather(*orders)
    assert sorted(each.status_code for each in answers) == [200] * 3 + [402] * 7
    assert {each.json().get("code") for each in answers} == {None, "insufficient_credits"}
    assert await gateway.value("SELECT held FROM credit_account WHERE settled = 2") == 0


async def test_a_repeat_under_one_key_is_the_same_deduction(
    gateway: RunningGateway, ada: Person, admin: Person
) -> None:
    async def order(credits_: int, person: Person) -> Any:
        body = {"credits": credits_, "reason": "x"}
        return await admin.post(deductions(person), body, **{"Idempotency-Key": "one"})

    orders = [asyncio.create_task(order(15, ada)) for _ in range(5)]
    (asked,) = await until(gateway, 1)
    await gateway.tell(booked(asked, version=2, settled=5))
    answers = await asyncio.gather(*orders, order(15, ada))
    assert {each.status_code for each in answers} == {200}
    assert {each.json()["deductionId"] for each in answers} == {str(asked.deduction_id)}
    for other in (await order(14, ada), await order(15, admin)):
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert len(await requested(gateway)) == 1


BAD_DEDUCTIONS: Final[list[Any]] = [
    *({"credits": bad, "reason": "x"} for bad in (0, -1, 1.5, 2.0, "3", None, 2**53)),
    {"credits": 1},
    *({"credits": 1, "reason": bad} for bad in ("  ", "nul \0", "half a pair \ud83d")),
    {"credits": 1, "reason": "x", "more": 1},
]


async def test_bad_deductions_are_refused_and_nothing_is_held(
    gateway: RunningGateway, ada: Person, admin: Person, subtests: pytest.Subtests
) -> None:
    for body in BAD_DEDUCTIONS:
        with subtests.test(str(body)):
            answer = await admin.post(deductions(ada), body)
            assert answer.status_code == 400, answer.text
            assert await gateway.value("SELECT sum(held) FROM credit_account") == 0


async def test_nothing_is_deducted_from_nobody(admin: Person) -> None:
    path = f"/api/admin/accounts/{uuid4()}/deductions"
    answer = await admin.post(path, {"credits": 1, "reason": "x"})
    assert (answer.status_code, answer.json()["code"]) == (404, "account_not_found")
    answer = await admin.get(f"/api/admin/deductions/{uuid4()}")
    assert (answer.status_code, answer.json()["code"]) == (404, "deduction_not_found")


async def test_an_administrator_sees_everybodys_balance_page_by_page(
    gateway: RunningGateway, ada: Person, admin: Person
) -> None:
    assert (await ada.get("/api/users/balances")).status_code == 403
    await gateway.tell(granted(ada.user_id, version=3, settled=50))
    async with asyncio.timeout(60):
        while await ada.credits() != 50:
            await asyncio.sleep(0.02)
    first = (await admin.get("/api/users/balances?limit=1")).json()
    path = f"/api/users/balances?limit=1&cursor={first['nextCursor']}"
    second = (await admin.get(path)).json()
    assert second["nextCursor"] is None
    rows = {each["userId"]: each for each in (*first["items"], *second["items"])}
    assert set(rows) == {str(ada.user_id), str(admin.user_id)}
    row = rows[str(ada.user_id)]
    shown = (row["credits"], row["settled"], row["held"], row["available"], row["version"])
    assert shown == (50, 50, 0, 50, 3)
    assert (await admin.get("/api/users/balances?limit=0")).status_code == 400
