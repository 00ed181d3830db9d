"""What administrators order: booked once, with who and why; refused, nothing is written."""

import asyncio
import json
from typing import Any, Final
from uuid import UUID, uuid4

import pytest

from libs.events.credits import (
    CreditsDebited,
    CreditsGranted,
    CreditsNotificationRequested,
    CreditsReversed,
    GraceChanged,
)
from services.ledger.domain.commands import CREDITS_MAX
from services.ledger.tests.builders import ADMIN, completed, facts, registered, requested
from services.ledger.tests.integration.audit import audit
from services.ledger.tests.integration.conftest import RunningLedger

REASON = "A present."


@pytest.fixture
async def account_id(running: RunningLedger) -> UUID:
    opened = uuid4()
    await running.books.book(registered(opened, signup_credits=5))
    return opened


async def checked(running: RunningLedger) -> None:
    async with running.books.streams.database.read() as connection:
        await audit(connection)


async def test_a_grant_is_booked_once_under_its_key(
    running: RunningLedger, account_id: UUID
) -> None:
    body = {"credits": 10, "reason": REASON, "priority": 3}
    path = f"{account_id}/grants"
    answers = await asyncio.gather(*(running.order(path, body, "one") for _ in range(6)))
    assert {each.status_code for each in answers} == {200}, answers[0].text
    (answer,) = {each.text for each in answers}
    assert json.loads(answer)["accountVersion"] == 2
    *_, grant = await running.books.told()
    assert isinstance(grant, CreditsGranted)
    assert (grant.settled_after, grant.actor, grant.reason) == (15, ADMIN, REASON)
    opened, granted, notice = await running.books.published()  # an opening is no news
    assert (granted.data, notice.causation_id) == (grant, granted.id)
    assert notice.data == CreditsNotificationRequested(
        account_id=account_id,
        user_id=account_id,
        template="credits_granted",
        parameters={"credits": "10"},
    )
    assert opened.data.account == account_id
    assert (await running.order(path, body, "two")).json()["accountVersion"] == 3
    other = await running.order(path, body | {"credits": 11}, "one")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert len(await running.books.told()) == 3
    await checked(running)


async def test_an_adjustment_takes_whatever_is_left_and_its_reversal_gives_it_back(
    running: RunningLedger, account_id: UUID
) -> None:
    debit = await running.order(
        f"{account_id}/adjustments", {"credits": -8, "reason": "A mistake."}
    )
    assert debit.status_code == 200, debit.text
    order = {"transactionId": debit.json()["transactionId"], "reason": "Not one."}
    reversal = await running.order(f"{account_id}/reversals", order, "r")
    assert reversal.status_code == 200, reversal.text
    assert (await running.order(f"{account_id}/reversals", order, "r")).text == reversal.text
    again = await running.order(f"{account_id}/reversals", order)
    assert (again.status_code, again.json()["code"]) == (409, "ledger_already_reversed")
    _, debited, reversed_ = await running.books.told()
    assert isinstance(debited, CreditsDebited)
    assert isinstance(reversed_, CreditsReversed)
    assert (debited.settled_after, reversed_.settled_after) == (-3, 5)
    assert reversed_.reverses == debited.transaction_id
    history = await running.get(
        f"/api/credits/transactions?accountId={account_id}", running.admin()
    )
    remarks = [each["remark"] for each in history.json()["items"]]
    assert [each["reverses"] for each in remarks] == [str(debited.transaction_id), None, None]
    assert [each["reason"] for each in remarks] == ["Not one.", "A mistake.", ""]
    await checked(running)


async def test_a_charge_is_reversed_out_of_revenue(
    running: RunningLedger, account_id: UUID
) -> None:
    request = facts(account_id, uuid4(), units=3)
    await running.books.book(requested(request), completed(request))
    *_, reserved, captured = await running.books.told()
    for transaction_id, status in ((reserved.transaction_id, 422), (captured.transaction_id, 200)):
        answer = await running.order(
            f"{account_id}/reversals", {"transactionId": str(transaction_id), "reason": "Broken."}
        )
        assert answer.status_code == status, answer.text
    assert (await running.books.told())[-1].settled_after == 5
    await checked(running)


async def test_two_reversals_at_once_reverse_once(running: RunningLedger, account_id: UUID) -> None:
    grant = await running.order(f"{account_id}/grants", {"credits": 9, "reason": REASON})
    order = {"transactionId": grant.json()["transactionId"], "reason": "Too much."}
    path = f"{account_id}/reversals"
    answers = await asyncio.gather(*(running.order(path, order, str(key)) for key in range(5)))
    assert sorted(each.status_code for each in answers) == [200, 409, 409, 409, 409]
    assert (await running.books.told())[-1].settled_after == 5


async def test_a_transaction_of_another_account_is_not_reversed(
    running: RunningLedger, account_id: UUID
) -> None:
    other = uuid4()
    await running.books.book(registered(other))
    grant = await running.order(f"{other}/grants", {"credits": 9, "reason": REASON})
    order = {"transactionId": grant.json()["transactionId"], "reason": "Too much."}
    assert (await running.order(f"{account_id}/reversals", order)).status_code == 422
    assert len(await running.books.told()) == 3


async def test_the_grace_is_set_and_told(running: RunningLedger, account_id: UUID) -> None:
    answer = await running.order(f"{account_id}/grace", {"grace": 50, "reason": "Trusted."})
    assert answer.status_code == 200, answer.text
    *_, changed = await running.books.told()
    assert isinstance(changed, GraceChanged)
    assert (changed.grace_before, changed.grace_after, changed.actor) == (0, 50, ADMIN)
    await checked(running)


BAD_ORDERS: Final[list[tuple[str, Any]]] = [
    *(("grants", {"credits": bad, "reason": "x"}) for bad in (0, -1, 1.5, 2.0, "3", None, True)),
    ("grants", {"credits": CREDITS_MAX + 1, "reason": "x"}),
    ("grants", {"credits": CREDITS_MAX, "reason": "x"}),  # the account holds some already
    ("grants", {"credits": 10**400, "reason": "x"}),
    *(("grants", {"credits": 1, "reason": bad}) for bad in (" ", "nul \0", "half \ud83d")),
    ("grants", {"credits": 1}),
    ("grants", {"credits": 1, "reason": "x", "expiresAt": "2001-01-01T00:00:00Z"}),
    ("grants", {"credits": 1, "reason": "x", "wallet": "subscription"}),
    (
        "grants",
        {"credits": 1, "reason": "x", "wallet": "topup", "expiresAt": "2999-01-01T00:00:00Z"},
    ),
    ("grants", {"credits": 1, "reason": "x", "more": 1}),
    ("adjustments", {"credits": 0, "reason": "x"}),
    ("adjustments", {"credits": -CREDITS_MAX - 1, "reason": "x"}),
    ("grace", {"grace": -1, "reason": "x"}),
    ("reversals", {"transactionId": "x", "reason": "x"}),
]


async def test_bad_orders_are_refused_and_nothing_is_written(
    running: RunningLedger, account_id: UUID, subtests: pytest.Subtests
) -> None:
    for what, body in BAD_ORDERS:
        with subtests.test(f"{what} {body}"[:80]):
            answer = await running.order(f"{account_id}/{what}", body, "key")
            assert answer.status_code == 400, answer.text
            assert answer.json()["error"] == answer.json()["message"]
            assert len(await running.books.told()) == 1
            assert await running.books.count("ordered") == 0


async def test_an_unknown_account_is_404_and_stays_unknown(running: RunningLedger) -> None:
    for what, body in (
        ("grants", {"credits": 1, "reason": "x"}),
        ("grace", {"grace": 1, "reason": "x"}),
    ):
        answer = await running.order(f"{uuid4()}/{what}", body, what)
        assert (answer.status_code, answer.json()["code"]) == (404, "account_not_found")
    assert await running.books.count("account") == 0
    assert await running.books.count("ordered") == 0


async def test_only_administrators_order(running: RunningLedger, account_id: UUID) -> None:
    body = {"credits": 1, "reason": "x"}
    answer = await running.order(f"{account_id}/grants", body, role="USER")
    assert answer.status_code == 403
    answer = await running.get(f"/api/credits/balance?accountId={account_id}", running.user())
    assert answer.status_code == 403
