"""The tables follow from the ledger's own events: folding those again gives the same rows."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

from libs.events.credits import CreditsCaptured, CreditsEvent, JobCreditsEvent
from libs.events.envelope import Event
from libs.events.payload import Payload
from libs.events.registry import REGISTRY
from libs.events.testing import NOW
from libs.runtime.db import Connection
from services.ledger import store
from services.ledger.app import MIGRATIONS
from services.ledger.domain.account import Account, Reservation, evolve, evolve_reservation
from services.ledger.domain.commands import (
    ForfeitSubscription,
    KeyedCommand,
    ReverseTransaction,
    SetGrace,
)
from services.ledger.domain.fold import Books, Input
from services.ledger.domain.ids import reversal_id
from services.ledger.domain.postings import transaction_of
from services.ledger.handlers.booking import carry_out
from services.ledger.handlers.expiry import Expiry
from services.ledger.store.history import find_account, find_account_as_of
from services.ledger.store.orders import find_posted
from services.ledger.tests.builders import (
    ADMIN,
    completed,
    facts,
    failed,
    paid,
    renewed,
    requested,
)
from services.ledger.tests.integration.audit import audit
from services.ledger.tests.integration.conftest import Ledger, SetClock
from services.ledger.tests.integration.test_booking import history

HOUR = timedelta(hours=1)
FAR = datetime(2999, 1, 1, tzinfo=UTC)
TABLES = ("account", "lot", "reservation", "transaction", "remark", "entry")


async def dump(connection: Connection) -> dict[str, list[str]]:
    """Every row of every table, as text. A row that is only there to be locked says nothing."""
    rows = {
        table: await connection.fetch(f"SELECT row::text AS line FROM {table} AS row ORDER BY 1")
        for table in TABLES
    }
    lock_rows = await connection.fetch(
        "SELECT row::text AS line FROM account AS row WHERE version = 0"
    )
    return {
        table: [each["line"] for each in found if each not in lock_rows]
        for table, found in rows.items()
    }


def lots_over_time(random: Random, accounts: list[UUID]) -> list[Payload]:
    """Lots that end by the hour, renewals, and jobs that are admitted and answered by the hour."""
    found: list[Payload] = []
    for number in range(60):
        account, hour = random.choice(accounts), NOW + HOUR * random.randrange(9)
        request = facts(account, UUID(int=10_000 + number), units=4, requested_at=hour)
        found += [
            paid(account, 5, f"ending_{number}", expires_at=hour),
            renewed(account, 6, until=hour, payment_id=f"in_{number}"),
            requested(request),
        ]
        answers = (completed(request, random.randrange(5)), failed(request))
        found.insert(random.randrange(len(found)), random.choice(answers))
    return found


async def order(ledger: Ledger, accounts: list[UUID]) -> None:
    """What a person would."""
    for number, account_id in enumerate(accounts):
        told = [each for each in await ledger.told() if each.account_id == account_id]
        captured = next(each for each in told if isinstance(each, CreditsCaptured))
        commands: list[KeyedCommand] = [
            SetGrace(
                transaction_id=UUID(int=20_000 + number),
                account_id=account_id,
                grace=9,
                actor=ADMIN,
                reason="x",
            ),
            ForfeitSubscription(
                transaction_id=UUID(int=30_000 + number), account_id=account_id, at=NOW
            ),
            ReverseTransaction(
                transaction_id=reversal_id(captured.transaction_id),
                account_id=account_id,
                reverses=captured.transaction_id,
                at=NOW,
                actor=ADMIN,
                reason="x",
            ),
        ]
        async with ledger.streams.database.transaction() as transaction:
            posted = await find_posted(transaction.connection, account_id, captured.transaction_id)
            assert posted is not None
            inputs = [Input(None, each) for each in commands]
            await carry_out(transaction, inputs, {posted.transaction_id: posted})


async def test_a_balance_as_of_any_version_or_time_is_the_fold_until_then(ledger: Ledger) -> None:
    random = Random(5)
    accounts = [UUID(int=random.getrandbits(128)) for _ in range(2)]
    messages = [*history(random, accounts), *lots_over_time(random, accounts)]
    for start in range(0, len(messages), 9):
        await ledger.book(*messages[start : start + 9])
    events = await ledger.published()
    async with ledger.streams.database.read() as connection:
        for account_id in accounts:
            account = Account(account_id=account_id)
            for each in events:
                if not isinstance(each.data, CreditsEvent) or each.data.account_id != account_id:
                    continue
                account = evolve(account, each.data)
                version = await find_account_as_of(
                    connection, account_id, at=None, version=account.version
                )
                assert shown(version) == shown(account)
            now = await find_account(connection, account_id)
            last = await find_account_as_of(connection, account_id, at=FAR, version=None)
            assert shown(now) == shown(last) == shown(account)
            none = await find_account_as_of(connection, account_id, at=NOW, version=None)
            assert none is None


def shown(account: Account | None) -> object:
    """What of an account its postings tell."""
    assert account is not None
    lots = {lot.lot_id: (lot.wallet, lot.remaining) for lot in account.lots if lot.remaining}
    return account.version, account.settled, account.reserved, account.overdraft, lots


def replay(events: Iterable[CreditsEvent]) -> Books:
    accounts: dict[UUID, Account] = {}
    reservations: dict[UUID, Reservation] = {}
    for event in events:
        before = accounts.get(event.account_id) or Account(account_id=event.account_id)
        accounts[event.account_id] = evolve(before, event)
        if isinstance(event, JobCreditsEvent):
            known = reservations.get(event.job_id)
            reservations[event.job_id] = evolve_reservation(known, event)
    return Books(accounts, reservations)


async def test_folding_the_ledgers_own_events_gives_the_same_rows(ledger: Ledger) -> None:
    random = Random(3)
    accounts = [UUID(int=random.getrandbits(128)) for _ in range(4)]
    messages = history(random, accounts)
    messages += lots_over_time(random, accounts)
    for start in range(0, len(messages), 23):
        await ledger.book(*messages[start : start + 23])
        if start % 2:
            await Expiry(ledger.streams.database, SetClock(NOW + HOUR * random.randrange(9))).work()
    await order(ledger, accounts)
    told: list[Event[CreditsEvent]] = [
        REGISTRY.decode(encoded)  # type: ignore[misc]  # the ledger publishes nothing else
        for _, encoded in await ledger.streams.published()
    ]
    async with ledger.streams.database.read() as connection:
        live = await dump(connection)
        await connection.execute(f"DROP TABLE {', '.join(reversed(TABLES))}")
        await connection.execute("DROP FUNCTION check_entries, check_transactions, refuse_change")
        await connection.execute((MIGRATIONS / "0001_create_books.sql").read_text())
        rebuilt = replay(event.data for event in told)
        transactions = [transaction_of(event) for event in told]
        await store.record(connection, Books(), rebuilt, transactions)
        await audit(connection)
        assert await dump(connection) == live
    assert len(live["transaction"]) == len(told)
