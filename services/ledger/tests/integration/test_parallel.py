"""Everything that can happen to accounts, all at once and twice, on a real database."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from random import Random
from uuid import UUID

from libs.events.billing import PaymentReceived, PaymentRefunded
from libs.events.credits import Wallet
from libs.events.generation import GenerationCompleted, GenerationRequested
from libs.events.identity import DeductionRequested, UserRegistered
from libs.events.payload import Payload
from libs.events.testing import NOW
from services.ledger import projections
from services.ledger.domain.commands import GrantCredits, KeyedCommand, SetGrace
from services.ledger.handlers.expiry import Expiry
from services.ledger.handlers.orders import Order, Orders
from services.ledger.tests.builders import ADMIN
from services.ledger.tests.integration.audit import audit
from services.ledger.tests.integration.conftest import Ledger, SetClock
from services.ledger.tests.integration.test_booking import history
from services.ledger.tests.integration.test_rebuild import (
    HOUR,
    dump,
    fold_beside_the_past,
    forget_books,
    lots_over_time,
)

GIFT = 3
REPLICAS = 8
WORLD = """
    SELECT account_id, sum(credits)::bigint AS credits FROM entry
     WHERE book = 'world' GROUP BY account_id
"""
CHARGED = "SELECT job_id, state, captured_credits FROM reservation"


def gift(account_id: UUID, number: int) -> Order:
    def command(transaction_id: UUID) -> KeyedCommand:
        return GrantCredits(
            transaction_id=transaction_id,
            account_id=account_id,
            credits=GIFT,
            wallet=Wallet.PROMO,
            source="administrator",
            reference="",
            at=NOW,
            actor=ADMIN,
            reason="x",
        )

    return Order(account_id=account_id, actor=ADMIN, key=f"{number}", content=1, command=command)


def grace(account_id: UUID, number: int) -> Order:
    def command(transaction_id: UUID) -> KeyedCommand:
        return SetGrace(
            transaction_id=transaction_id,
            account_id=account_id,
            grace=number,
            actor=ADMIN,
            reason="x",
        )

    return Order(account_id=account_id, actor=ADMIN, key=f"g{number}", content=1, command=command)


def given_by_the_world(messages: Sequence[Payload]) -> dict[UUID, int]:
    """What accounts have got and not given back, each source counted once."""
    keyed = dict[object, tuple[UUID, int]]()
    for each in messages:
        match each:
            case UserRegistered():
                keyed["opening", each.account_id] = each.account_id, each.signup_credits
            case PaymentReceived():
                keyed["payment", each.payment_id] = each.account_id, each.credits
            case PaymentRefunded():
                keyed["refund", each.refund_id] = each.account_id, -each.credits
            case DeductionRequested():
                keyed["deduction", each.deduction_id] = each.account_id, -each.credits
            case _:
                continue
    found = defaultdict[UUID, int](int)
    for account_id, amount in keyed.values():
        found[account_id] += amount
    return found


def charges(messages: Sequence[Payload]) -> dict[UUID, int]:
    """What each job is to be charged: nothing unless it was completed."""
    asked = {e.job_id: 0 for e in messages if isinstance(e, GenerationRequested)}
    for each in messages:
        if isinstance(each, GenerationCompleted):
            units = min(each.delivered_units, each.request.units)
            asked[each.job_id] = each.request.unit_credits * units
    return asked


async def test_everything_at_once_and_twice_keeps_every_promise(ledger: Ledger) -> None:
    """Consumers that were replaced go on for a while, timers run twice, persons click twice.

    No capture is refused, whatever ends, is taken back or is deducted meanwhile.
    """
    random = Random(17)
    accounts = [UUID(int=random.getrandbits(128)) for _ in range(4)]
    messages = [*history(random, accounts), *lots_over_time(random, accounts)]
    await ledger.book(*(each for each in messages if isinstance(each, UserRegistered)))
    database = ledger.streams.database
    orders = Orders(database, ledger.streams.clock, ledger.streams.ids)

    async def end_lots() -> None:
        for hour in range(9):
            await Expiry(database, SetClock(NOW + hour * HOUR)).work()

    async def order() -> None:
        for number, account_id in enumerate(accounts * 3):
            await orders.carry_out(gift(account_id, number))
            await orders.carry_out(grace(account_id, number))

    async def consume(start: int) -> None:
        for at in range(start, len(messages), 5 * REPLICAS):
            await ledger.book(*messages[at : at + 5 * REPLICAS : REPLICAS])

    at_work = [consume(start % REPLICAS) for start in range(2 * REPLICAS)]
    await asyncio.gather(*at_work, end_lots(), end_lots(), order(), order())
    assert await ledger.count("waiting") == await ledger.count("parked") == 0
    await end_lots()  # those that were granted after their end, too
    told = await ledger.published()
    await ledger.book(*messages)
    await asyncio.gather(end_lots(), order())
    assert await ledger.published() == told
    async with database.read() as connection:
        await audit(connection)
        rows = await connection.fetch(CHARGED)
        ended = {row["job_id"]: row["captured_credits"] for row in rows}
        assert {row["state"] for row in rows} == {"captured", "released"}
        assert ended == charges(messages)
        world = {row["account_id"]: -row["credits"] for row in await connection.fetch(WORLD)}
        given = given_by_the_world(messages)
        assert world == {each: given[each] + 3 * GIFT for each in accounts}
        events = projections.credits_events(told)
        for account_id in accounts:
            await fold_beside_the_past(connection, events, account_id)
        live = await dump(connection)
        await forget_books(connection)
        for start in range(0, len(told), 50):
            await projections.follow(connection, told[start : start + 50])
        assert await dump(connection) == live
