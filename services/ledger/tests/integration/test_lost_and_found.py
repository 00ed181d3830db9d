"""Late messages about lots, with the store's view of an account: only what it loads is there."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from libs.events.credits import CreditsExpired, CreditsGranted, CreditsReleased
from libs.events.payload import Payload
from libs.events.testing import NOW
from services.ledger.domain.commands import ReverseTransaction
from services.ledger.domain.fold import Input
from services.ledger.domain.ids import reversal_id
from services.ledger.handlers.booking import carry_out
from services.ledger.handlers.expiry import Expiry
from services.ledger.store.orders import find_posted
from services.ledger.tests.builders import (
    ADMIN,
    completed,
    facts,
    failed,
    paid,
    registered,
    renewed,
    requested,
)
from services.ledger.tests.integration.audit import audit
from services.ledger.tests.integration.conftest import Ledger, SetClock

DAY = timedelta(days=1)
END = NOW + DAY


async def assert_sound(ledger: Ledger) -> None:
    async with ledger.streams.database.read() as connection:
        await audit(connection)


@pytest.mark.parametrize("batch", [1, 2, 5])
async def test_a_renewal_that_comes_too_late_forfeits_nothing_that_is_reserved(
    ledger: Ledger, batch: int
) -> None:
    """However the messages are cut into batches."""
    account_id = uuid4()
    job = facts(account_id, uuid4(), unit_credits=100)
    messages: Sequence[Payload] = (
        registered(account_id, signup_credits=0),
        renewed(account_id, 100, until=NOW + 60 * DAY, payment_id="in_2"),
        requested(job),
        renewed(account_id, 100, until=NOW + 30 * DAY, payment_id="in_1"),
        failed(job),
    )
    for start in range(0, len(messages), batch):
        await ledger.book(*messages[start : start + batch])
    told = await ledger.told()
    grants = {each.reference: each for each in told if isinstance(each, CreditsGranted)}
    assert (grants["in_2"].is_renewal, grants["in_1"].is_renewal) == (True, False)
    (released,) = [each for each in told if isinstance(each, CreditsReleased)]
    assert (released.forfeited_lots, released.settled_after) == ((), 200)
    await assert_sound(ledger)


async def ended(ledger: Ledger) -> tuple[UUID, CreditsExpired]:
    """An account whose only lot, of 100, has come to its end."""
    account_id = uuid4()
    await ledger.book(
        registered(account_id, signup_credits=0), paid(account_id, 100, expires_at=END)
    )
    await Expiry(ledger.streams.database, SetClock(END)).work()
    (expired,) = [each for each in await ledger.told() if isinstance(each, CreditsExpired)]
    return account_id, expired


async def reverse(ledger: Ledger, wrong: CreditsExpired) -> None:
    async with ledger.streams.database.transaction() as transaction:
        posted = await find_posted(transaction.connection, wrong.account_id, wrong.transaction_id)
        assert posted is not None
        command = ReverseTransaction(
            transaction_id=reversal_id(wrong.transaction_id),
            account_id=wrong.account_id,
            reverses=wrong.transaction_id,
            at=END,
            actor=ADMIN,
            reason="Out of goodwill.",
        )
        await carry_out(transaction, [Input(None, command)], {posted.transaction_id: posted})


async def spend_late(ledger: Ledger, account_id: UUID, credits_: int) -> None:
    """By a job that was admitted before the end and is read after it."""
    job = facts(account_id, uuid4(), unit_credits=credits_, requested_at=NOW)
    await ledger.book(requested(job), completed(job))


async def test_what_a_reversed_expiry_gave_back_is_not_reclaimed_too(ledger: Ledger) -> None:
    account_id, expired = await ended(ledger)
    await reverse(ledger, expired)
    await spend_late(ledger, account_id, 100)
    assert (await ledger.told())[-1].settled_after == 0
    await assert_sound(ledger)


async def test_what_was_reclaimed_is_not_given_back_by_a_reversal_too(ledger: Ledger) -> None:
    account_id, expired = await ended(ledger)
    await spend_late(ledger, account_id, 30)
    await reverse(ledger, expired)
    assert (await ledger.told())[-1].settled_after == 70
    await spend_late(ledger, account_id, 70)
    assert (await ledger.told())[-1].settled_after == 0
    await assert_sound(ledger)
