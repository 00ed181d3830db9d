"""The tables follow from the ledger's own events: folding those again gives the same rows."""

from collections.abc import Iterable
from random import Random
from uuid import UUID

from libs.events.credits import CreditsEvent, JobCreditsEvent
from libs.events.envelope import Event
from libs.events.registry import REGISTRY
from libs.runtime.db import Connection
from services.ledger import store
from services.ledger.app import MIGRATIONS
from services.ledger.domain.account import Account, Reservation, evolve, evolve_reservation
from services.ledger.domain.fold import Books
from services.ledger.domain.postings import transaction_of
from services.ledger.tests.integration.audit import audit
from services.ledger.tests.integration.conftest import Ledger
from services.ledger.tests.integration.test_booking import history

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
    for start in range(0, len(messages), 23):
        await ledger.book(*messages[start : start + 23])
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
