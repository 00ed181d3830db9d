"""Every SQL statement of the ledger. Each takes a whole batch; none is run once per event."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, TypeAlias
from uuid import UUID

from asyncpg import Record

from libs.events.credits import LotAmount, Wallet
from libs.runtime.db import Connection
from services.ledger.domain.account import (
    Account,
    Lot,
    Reservation,
    ReservationState,
    in_burn_order,
)
from services.ledger.domain.fold import Books
from services.ledger.domain.postings import Book, Entry, Transaction, TransactionKind

Row: TypeAlias = tuple[Any, ...]

# Rows first, in sorted order, and only then locks, in sorted order: so no two batches can wait for
# each other, and an account that nobody has heard of has a row to lock.
INSERT_ACCOUNTS = """
    INSERT INTO account (id) SELECT * FROM unnest($1::uuid[]) ON CONFLICT DO NOTHING
"""
LOCK_ACCOUNTS = """
    SELECT id, version, grace, overdraft, reserved FROM account
     WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE
"""

# The aggregate keeps the planner from turning the lookups of the entries into a scan of them all.
LOAD_RESERVATIONS = """
    SELECT job_id, account_id, account_version, credits, state, captured_credits,
           taken.lot_ids, taken.amounts
      FROM reservation CROSS JOIN LATERAL (
        SELECT array_agg(lot_id ORDER BY line) AS lot_ids,
               array_agg(-entry.credits ORDER BY line) AS amounts
          FROM entry
         WHERE entry.account_id = reservation.account_id
           AND entry.account_version = reservation.account_version
           AND entry.book IN ('lot', 'overdraft') AND entry.credits <> 0
      ) AS taken
     WHERE job_id = ANY($1::uuid[])
"""
LOAD_LOTS = """
    SELECT id, account_id, wallet, credits, remaining, source, expires_at, opened_version
      FROM lot
     WHERE account_id = ANY($1::uuid[]) AND (remaining > 0 OR id = ANY($2::uuid[]))
"""

# "On conflict" finds its rows through the primary key; an update from a join may not.
WRITE_ACCOUNTS = """
    INSERT INTO account (id, version, grace, overdraft, reserved)
    SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
    ON CONFLICT (id) DO UPDATE
       SET version = excluded.version, grace = excluded.grace,
           overdraft = excluded.overdraft, reserved = excluded.reserved
"""
WRITE_LOTS = """
    INSERT INTO lot (id, account_id, wallet, credits, remaining, source, expires_at, opened_version)
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::bigint[],
                         $6::text[], $7::timestamptz[], $8::bigint[])
    ON CONFLICT (id) DO UPDATE SET remaining = excluded.remaining
"""
WRITE_RESERVATIONS = """
    INSERT INTO reservation (job_id, account_id, account_version, credits, state, captured_credits)
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::text[],
                         $6::bigint[])
    ON CONFLICT (job_id) DO UPDATE
       SET state = excluded.state, captured_credits = excluded.captured_credits
"""
# One statement, since the database looks at a transaction and its entries together.
POST = """
    WITH header AS (
        INSERT INTO transaction (account_id, account_version, id, kind, job_id, settled_after,
                                 grace_after, event_id, causation_id, correlation_id, occurred_at)
        SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::text[], $5::uuid[],
                             $6::bigint[], $7::bigint[], $8::uuid[], $9::uuid[], $10::uuid[],
                             $11::timestamptz[])
    )
    INSERT INTO entry (account_id, account_version, line, book, lot_id, credits)
    SELECT * FROM unnest($12::uuid[], $13::bigint[], $14::smallint[], $15::text[], $16::uuid[],
                         $17::bigint[])
"""

FIND_ACCOUNT = "SELECT id, version, grace, overdraft, reserved FROM account WHERE id = $1"

_TRANSACTIONS = """
    SELECT account_id, account_version, id, kind, job_id, settled_after, grace_after,
           event_id, causation_id, correlation_id, occurred_at,
           lines.books, lines.lot_ids, lines.amounts
      FROM transaction CROSS JOIN LATERAL (
        SELECT array_agg(book ORDER BY line) AS books,
               array_agg(lot_id ORDER BY line) AS lot_ids,
               array_agg(credits ORDER BY line) AS amounts
          FROM entry
         WHERE entry.account_id = transaction.account_id
           AND entry.account_version = transaction.account_version
      ) AS lines
     WHERE account_id = $1 AND account_version < $2
"""
LIST_TRANSACTIONS = f"{_TRANSACTIONS} ORDER BY account_version DESC LIMIT $3"
LIST_TRANSACTIONS_OF_JOB = f"{_TRANSACTIONS} AND job_id = $4 ORDER BY account_version DESC LIMIT $3"


async def lock_accounts(
    connection: Connection, account_ids: Collection[UUID]
) -> dict[UUID, Account]:
    """The accounts without their lots, locked until the commit; unknown ones at version 0."""
    ordered = sorted(account_ids)
    await connection.execute(INSERT_ACCOUNTS, ordered)
    rows = await connection.fetch(LOCK_ACCOUNTS, ordered)
    return {row["id"]: _account(row) for row in rows}


async def load_reservations(
    connection: Connection, job_ids: Collection[UUID]
) -> dict[UUID, Reservation]:
    """The reservations that there are of these jobs."""
    if not job_ids:
        return {}
    rows = await connection.fetch(LOAD_RESERVATIONS, list(job_ids))
    return {row["job_id"]: _reservation(row) for row in rows}


async def load_lots(
    connection: Connection, account_ids: Collection[UUID], lot_ids: Collection[UUID] = ()
) -> dict[UUID, list[Lot]]:
    """Per account the lots that can be spent from, and those of the given ids."""
    lots: dict[UUID, list[Lot]] = {}
    for row in await connection.fetch(LOAD_LOTS, list(account_ids), list(lot_ids)):
        lots.setdefault(row["account_id"], []).append(_lot(row))
    return lots


async def record(
    connection: Connection, before: Books, after: Books, transactions: Sequence[Transaction]
) -> None:
    """Write transactions and the states that they have led to. Live or in a rebuild, alike."""
    account_ids = {each.account_id for each in transactions}
    job_ids = {each.job_id for each in transactions if each.job_id is not None}
    known = {lot.lot_id: lot for each in before.accounts.values() for lot in each.lots}
    lots = [
        (account_id, lot)
        for account_id in account_ids
        for lot in after.accounts[account_id].lots
        if known.get(lot.lot_id) != lot
    ]
    await _write_accounts(connection, [after.accounts[each] for each in account_ids])
    await _write_lots(connection, lots)
    await _write_reservations(connection, [after.reservations[each] for each in job_ids])
    await post(connection, transactions)


async def post(connection: Connection, transactions: Sequence[Transaction]) -> None:
    """Write transactions with their entries. Accounts and lots must have been written before."""
    headers = [
        (
            each.account_id,
            each.account_version,
            each.transaction_id,
            each.kind.value,
            each.job_id,
            each.settled_after,
            each.grace_after,
            each.event_id,
            each.causation_id,
            each.correlation_id,
            each.occurred_at,
        )
        for each in transactions
    ]
    lines = [
        (each.account_id, each.account_version, line, entry.book.value, entry.lot_id, entry.credits)
        for each in transactions
        for line, entry in enumerate(each.entries)
    ]
    if headers:
        await connection.execute(POST, *_columns(headers), *_columns(lines))


async def find_account(connection: Connection, account_id: UUID) -> Account | None:
    """An account with the lots that it can spend from."""
    row = await connection.fetchrow(FIND_ACCOUNT, account_id)
    if row is None:
        return None
    lots = await load_lots(connection, [account_id])
    return _account(row, lots.get(account_id, ()))


async def list_transactions(
    connection: Connection,
    account_id: UUID,
    *,
    job_id: UUID | None,
    before_version: int,
    limit: int,
) -> list[Transaction]:
    """An account's transactions, newest first: all, or what one job did to it."""
    if job_id is None:
        rows = await connection.fetch(LIST_TRANSACTIONS, account_id, before_version, limit)
    else:
        rows = await connection.fetch(
            LIST_TRANSACTIONS_OF_JOB, account_id, before_version, limit, job_id
        )
    return [_transaction(row) for row in rows]


async def _write_accounts(connection: Connection, accounts: Iterable[Account]) -> None:
    rows = [
        (each.account_id, each.version, each.grace, each.overdraft, each.reserved)
        for each in accounts
    ]
    await _write(connection, WRITE_ACCOUNTS, sorted(rows))


async def _write_lots(connection: Connection, lots: Iterable[tuple[UUID, Lot]]) -> None:
    """Write new or changed lots, as (account, lot)."""
    rows = [
        (
            lot.lot_id,
            account_id,
            lot.wallet.value,
            lot.credits,
            lot.remaining,
            lot.source,
            lot.expires_at,
            lot.opened_version,
        )
        for account_id, lot in lots
    ]
    await _write(connection, WRITE_LOTS, rows)


async def _write_reservations(connection: Connection, reservations: Iterable[Reservation]) -> None:
    rows = [
        (
            each.job_id,
            each.account_id,
            each.account_version,
            each.credits,
            each.state.value,
            each.captured_credits,
        )
        for each in reservations
    ]
    await _write(connection, WRITE_RESERVATIONS, rows)


async def _write(connection: Connection, statement: str, rows: Sequence[Row]) -> None:
    if rows:
        await connection.execute(statement, *_columns(rows))


def _columns(rows: Sequence[Row]) -> Iterable[Row]:
    return zip(*rows, strict=True)


def _account(row: Record, lots: Iterable[Lot] = ()) -> Account:
    return Account(
        account_id=row["id"],
        version=row["version"],
        grace=row["grace"],
        overdraft=row["overdraft"],
        reserved=row["reserved"],
        lots=in_burn_order(lots),
    )


def _lot(row: Record) -> Lot:
    return Lot(
        lot_id=row["id"],
        wallet=Wallet(row["wallet"]),
        credits=row["credits"],
        remaining=row["remaining"],
        source=row["source"],
        expires_at=row["expires_at"],
        opened_version=row["opened_version"],
    )


def _reservation(row: Record) -> Reservation:
    taken = zip(row["lot_ids"] or (), row["amounts"] or (), strict=True)
    return Reservation(
        job_id=row["job_id"],
        account_id=row["account_id"],
        account_version=row["account_version"],
        credits=row["credits"],
        lots=tuple(LotAmount(lot_id=lot_id, credits=amount) for lot_id, amount in taken),
        state=ReservationState(row["state"]),
        captured_credits=row["captured_credits"],
    )


def _transaction(row: Record) -> Transaction:
    lines = zip(row["books"], row["amounts"], row["lot_ids"], strict=True)
    return Transaction(
        account_id=row["account_id"],
        account_version=row["account_version"],
        transaction_id=row["id"],
        kind=TransactionKind(row["kind"]),
        job_id=row["job_id"],
        settled_after=row["settled_after"],
        grace_after=row["grace_after"],
        event_id=row["event_id"],
        causation_id=row["causation_id"],
        correlation_id=row["correlation_id"],
        occurred_at=row["occurred_at"],
        entries=tuple(Entry(Book(book), amount, lot_id) for book, amount, lot_id in lines),
    )
