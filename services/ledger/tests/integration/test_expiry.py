"""Lots end in their time: by whoever comes first, once, and what is due is never forgotten."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from libs.events.credits import CreditsExpired
from libs.events.testing import NOW
from libs.events.testing import event as event_of
from libs.runtime.db import Transaction
from services.ledger.domain.errors import BrokenBooksError
from services.ledger.domain.fold import Input
from services.ledger.handlers import booking, expiry
from services.ledger.handlers.expiry import Expiry
from services.ledger.tests.builders import facts, failed, paid, registered, requested
from services.ledger.tests.integration.audit import audit
from services.ledger.tests.integration.conftest import Ledger, RunningLedger, SetClock

END = NOW + timedelta(days=1)


async def opened(ledger: Ledger, credits_: int = 5, *, end: datetime = END) -> UUID:
    account_id = uuid4()
    await ledger.book(
        registered(account_id, signup_credits=0), paid(account_id, credits_, expires_at=end)
    )
    return account_id


async def expired(ledger: Ledger) -> list[CreditsExpired]:
    return [each for each in await ledger.told() if isinstance(each, CreditsExpired)]


async def test_two_replicas_end_each_lot_once(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expiry, "BATCH", 3)
    for _ in range(8):
        await opened(ledger)
    replicas = [Expiry(ledger.streams.database, SetClock(END)) for _ in range(2)]
    await asyncio.gather(*(each.work() for each in replicas))
    assert [each.credits for each in await expired(ledger)] == [5] * 8
    assert await replicas[0].next_at() is None
    async with ledger.streams.database.read() as connection:
        await audit(connection)


async def test_nothing_ends_before_its_time(ledger: Ledger) -> None:
    await opened(ledger)
    early = Expiry(ledger.streams.database, SetClock(END - timedelta(microseconds=1)))
    await early.work()
    assert await expired(ledger) == []
    assert await early.next_at() == END


async def test_a_crash_before_the_commit_leaves_the_lot_to_be_ended(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    await opened(ledger)
    work = Expiry(ledger.streams.database, SetClock(END))
    carry_out = booking.carry_out

    async def dies(*arguments: object, **_: object) -> None:
        await carry_out(*arguments)  # type: ignore[arg-type]
        raise ConnectionError("gone")

    with monkeypatch.context() as patched:
        patched.setattr(expiry, "carry_out", dies)
        with pytest.raises(ConnectionError):
            await work.work()
    assert await expired(ledger) == []
    assert await work.next_at() == END
    await work.work()
    assert len(await expired(ledger)) == 1


async def test_broken_books_of_one_account_keep_nobody_elses_lots_alive(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, sound = await opened(ledger), await opened(ledger)
    work = Expiry(ledger.streams.database, SetClock(END))

    async def refuses(transaction: Transaction, inputs: Sequence[Input]) -> None:
        if any(each.command.account_id == broken for each in inputs):
            raise BrokenBooksError("no")
        await booking.carry_out(transaction, inputs)

    monkeypatch.setattr(expiry, "carry_out", refuses)
    with pytest.raises(BrokenBooksError):
        await work.work()
    assert [each.account_id for each in await expired(ledger)] == [sound]


async def test_what_comes_back_after_the_end_goes_to_breakage_at_once(ledger: Ledger) -> None:
    account_id = await opened(ledger)
    request = facts(account_id, uuid4(), units=5)
    await ledger.book(requested(request))
    work = Expiry(ledger.streams.database, SetClock(END))
    assert await work.next_at() is None
    await ledger.book_events([event_of(failed(request), time=END)])
    assert (await ledger.told())[-1].settled_after == 0
    assert await work.next_at() is None


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await condition():
            await asyncio.sleep(0.02)


async def test_the_service_ends_a_lot_that_was_granted_a_moment_ago(running: RunningLedger) -> None:
    """Its timer sleeps for half a minute: the grant wakes it."""
    account_id = uuid4()
    await running.books.book(registered(account_id, signup_credits=3))
    end = datetime.now(UTC) + timedelta(seconds=1.5)
    answer = await running.order(
        f"{account_id}/grants", {"credits": 5, "reason": "x", "expiresAt": end.isoformat()}
    )
    assert answer.status_code == 200, answer.text

    async def is_gone() -> bool:
        return bool(await expired(running.books))

    await until(is_gone)
    (event,) = await expired(running.books)
    assert (event.credits, event.settled_after, event.ended_at) == (5, 3, end)
