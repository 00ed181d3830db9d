"""What the database refuses by itself, whatever the code above it does, and how it finds rows."""

import re
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from msgspec.structs import replace

from infra.local.cluster import LocalCluster
from libs.events.names import Service
from libs.events.testing import NOW
from libs.events.testing import event as event_of
from libs.runtime.db import Connection, Database
from services.ledger import store
from services.ledger.consumers import create_handler
from services.ledger.domain.postings import Book, Entry, Transaction, TransactionKind
from services.ledger.store import history
from services.ledger.tests.builders import completed, facts, registered, requested
from services.ledger.tests.integration.conftest import Ledger


def transaction(account_id: UUID, *entries: Entry, version: int = 2) -> Transaction:
    return Transaction(
        account_id=account_id,
        account_version=version,
        transaction_id=uuid4(),
        kind=TransactionKind.GRANT,
        job_id=None,
        settled_after=0,
        grace_after=0,
        event_id=uuid4(),
        causation_id=uuid4(),
        correlation_id=uuid4(),
        occurred_at=NOW,
        entries=entries,
    )


async def post(ledger: Ledger, *transactions: Transaction) -> None:
    async with ledger.streams.database.transaction() as opened:
        await store.write(opened.connection, transactions)


@pytest.fixture
async def account_id(ledger: Ledger) -> UUID:
    opened = uuid4()
    await ledger.book(registered(opened))
    return opened


IN, OUT = Entry(Book.OVERDRAFT, 5), Entry(Book.WORLD, -5)


async def test_a_whole_transaction_is_taken(ledger: Ledger, account_id: UUID) -> None:
    await post(ledger, transaction(account_id, IN, OUT))
    assert await ledger.count("entry") == 4


@pytest.mark.parametrize(
    "entries",
    [(IN,), (IN, Entry(Book.WORLD, -4)), (IN, IN), (Entry(Book.OVERDRAFT, 0),)],
    ids=["one-sided", "uneven", "same side twice", "one line of zero"],
)
async def test_a_posting_that_does_not_balance_is_refused(
    ledger: Ledger, account_id: UUID, entries: Sequence[Entry]
) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await post(ledger, transaction(account_id, *entries))
    assert await ledger.count("transaction") == 1


async def test_one_bad_transaction_among_good_ones_is_found(
    ledger: Ledger, account_id: UUID
) -> None:
    good = [transaction(account_id, IN, OUT, version=version) for version in (2, 3, 5)]
    with pytest.raises(asyncpg.CheckViolationError):
        await post(ledger, *good, transaction(account_id, IN, version=4))
    assert await ledger.count("transaction") == 1


async def test_a_transaction_without_entries_is_refused(ledger: Ledger, account_id: UUID) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await post(ledger, transaction(account_id, IN, OUT), transaction(account_id, version=3))


async def test_nothing_is_added_to_a_transaction_later(ledger: Ledger, account_id: UUID) -> None:
    statement = """
        INSERT INTO entry (account_id, account_version, line, book, credits)
        VALUES ($1, 1, $2, 'overdraft', 5), ($1, 1, $2 + 1, 'world', -5)
    """
    async with ledger.streams.database.read() as connection:
        with pytest.raises(asyncpg.CheckViolationError):
            await connection.execute(statement, account_id, 2)
        with pytest.raises(asyncpg.UniqueViolationError):
            await connection.execute(statement, account_id, 0)


async def test_entries_without_a_transaction_are_refused(ledger: Ledger, account_id: UUID) -> None:
    async with ledger.streams.database.read() as connection:
        with pytest.raises(asyncpg.CheckViolationError):
            await connection.execute(
                """
                INSERT INTO entry (account_id, account_version, line, book, credits)
                VALUES ($1, 9, 0, 'overdraft', 5), ($1, 9, 1, 'world', -5)
                """,
                account_id,
            )


async def test_an_entry_names_a_lot_of_its_own_account(ledger: Ledger, account_id: UUID) -> None:
    stranger = uuid4()
    await ledger.book(registered(stranger))
    async with ledger.streams.database.read() as connection:
        foreign = await connection.fetchval("SELECT id FROM lot WHERE account_id = $1", stranger)
    for lot_id in (foreign, uuid4()):
        taking = transaction(account_id, Entry(Book.LOT, 5, lot_id), OUT)
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await post(ledger, taking)


@pytest.mark.parametrize("table", ["entry", "transaction"])
@pytest.mark.parametrize(
    "statement",
    ["UPDATE {} SET account_version = 7", "DELETE FROM {}", "TRUNCATE {}"],
    ids=["update", "delete", "truncate"],
)
async def test_what_is_posted_stays(
    ledger: Ledger, account_id: UUID, table: str, statement: str
) -> None:
    async with ledger.streams.database.read() as connection:
        with pytest.raises(asyncpg.RestrictViolationError):
            await connection.execute(statement.format(table))
    assert await ledger.count("entry") == 2


async def test_a_job_is_reserved_once_and_closed_once(ledger: Ledger, account_id: UUID) -> None:
    job_id = uuid4()
    reserve = replace(transaction(account_id, IN, OUT), kind=TransactionKind.RESERVE, job_id=job_id)
    capture = replace(
        transaction(account_id, IN, OUT, version=3), kind=TransactionKind.CAPTURE, job_id=job_id
    )
    await post(ledger, reserve, capture)
    for kind in (TransactionKind.RESERVE, TransactionKind.CAPTURE, TransactionKind.RELEASE):
        again = transaction(account_id, IN, OUT, version=4)
        with pytest.raises(asyncpg.UniqueViolationError):
            await post(ledger, replace(again, kind=kind, job_id=job_id))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE account SET overdraft = 1",
        "UPDATE account SET reserved = -1",
        "UPDATE account SET grace = -1",
        "UPDATE account SET version = 0, reserved = 1",
        "UPDATE lot SET remaining = credits + 1",
        "UPDATE lot SET remaining = -1",
        "UPDATE reservation SET captured_credits = credits + 1",
        "UPDATE reservation SET state = 'released'",
        "UPDATE lot SET wallet = 'topup', expires_at = now()",
    ],
)
async def test_impossible_states_are_refused(
    ledger: Ledger, account_id: UUID, statement: str
) -> None:
    request = facts(account_id, uuid4())
    await ledger.book(requested(request), completed(request))
    async with ledger.streams.database.read() as connection:
        with pytest.raises(asyncpg.CheckViolationError):
            await connection.execute(statement)


async def plan(connection: Connection, statement: str, *arguments: object) -> str:
    rows = await connection.fetch(f"EXPLAIN {statement}", *arguments)
    return "\n".join(row[0] for row in rows)


def assert_rows_are_looked_up(plan_text: str) -> None:
    assert not re.search(r"Seq Scan|Hash .*Join|Merge .*Join", plan_text), plan_text
    lines = plan_text.splitlines()
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        if re.search(r"Index (Only )?Scan (using|on|Backward)", line):
            assert "Index Cond" in below, plan_text  # without one the whole index is read


async def test_pages_are_found_by_index_even_when_the_tables_were_empty(ledger: Ledger) -> None:
    ids = [uuid4() for _ in range(3)]
    async with ledger.streams.database.read() as connection:
        await connection.execute("VACUUM ANALYZE account, lot, reservation, entry, transaction")
        for each in (
            await plan(connection, history.FIND_ACCOUNT, ids[0]),
            await plan(connection, history.LIST_TRANSACTIONS, ids[0], 9, 9),
            await plan(connection, history.LIST_TRANSACTIONS_OF_JOB, ids[0], 9, 9, ids[0]),
        ):
            assert_rows_are_looked_up(each)


async def test_a_batch_looks_its_rows_up_whatever_is_in_the_tables(
    ledger: Ledger, cluster: LocalCluster, database_name: str
) -> None:
    """In all that is planned on the way: functions and triggers too, with plans kept for long."""
    streams, plans = ledger.streams, list[str]()

    def keep(_: object, message: Any) -> None:
        plans.append(message.message)

    watched = Database(
        cluster.postgres_dsn(database=database_name),  # the owner of the server: may load modules
        schema=Service.LEDGER.value,
        pool_size=2,
        emitter=streams.emitter,
        wakeups=streams.wakeups,
    )
    await watched.open()
    handler = create_handler(streams.clock, streams.ids)
    try:
        async with watched.transaction() as transaction:
            await transaction.connection.execute(WATCH)
            transaction.connection.add_log_listener(keep)
            for _ in range(8):
                requests = [facts(uuid4(), uuid4()) for _ in range(20)]
                early = [requested(each) for each in requests[:5]]
                await handler(transaction, [event_of(each) for each in early])
                opened = [registered(each.account_id) for each in requests]
                asked = [requested(each) for each in requests]
                await handler(transaction, [event_of(each) for each in (*opened, *asked)])
                await handler(transaction, [event_of(completed(each)) for each in requests])
            transaction.connection.remove_log_listener(keep)
    finally:
        await watched.close()
    for table in ("account", "lot", "reservation", "transaction", "entry", "waiting"):
        found = [each for each in plans if re.search(rf"Scan .*on {table}\b", each)]
        assert found, table
        for each in found:
            assert_rows_are_looked_up(each)


WATCH = """
    LOAD 'auto_explain';
    SET LOCAL auto_explain.log_min_duration = 0;
    SET LOCAL auto_explain.log_nested_statements = on;
    SET LOCAL auto_explain.log_level = notice;
    SET LOCAL client_min_messages = notice;
"""
