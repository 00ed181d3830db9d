"""Every SQL statement of the ledger. Each takes a whole batch; none is run once per event."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final, TypeAlias
from uuid import UUID

import msgspec
from asyncpg import Record
from msgspec.structs import replace

from libs.runtime.db import Connection
from services.ledger.domain.account import Account, Lot, Reservation, in_burn_order
from services.ledger.domain.fold import Books
from services.ledger.domain.postings import Book, Entry, Transaction, TransactionKind

Row: TypeAlias = tuple[Any, ...]

# In the order in which `rows_of` fills them and WRITE takes them.
COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "account": ("id", "version", "grace", "overdraft", "reserved"),
    "lot": (
        "id",
        "account_id",
        "wallet",
        "credits",
        "remaining",
        "source",
        "expires_at",
        "opened_version",
    ),
    "reservation": (
        "job_id",
        "account_id",
        "account_version",
        "credits",
        "state",
        "captured_credits",
    ),
    "transaction": (
        "account_id",
        "account_version",
        "id",
        "kind",
        "job_id",
        "settled_after",
        "grace_after",
        "event_id",
        "causation_id",
        "correlation_id",
        "occurred_at",
    ),
    "entry": ("account_id", "account_version", "line", "book", "lot_id", "credits"),
}

LOAD = """
    SELECT accounts, reservations, is_awaited FROM load_books($1::uuid[], $2::uuid[], $3::text[])
"""

# One statement: one trip, and the database looks at a transaction and its entries together.
# "On conflict" finds its rows through the primary key; an update from a join may not.
WRITE = """
    WITH accounts AS (
        INSERT INTO account (id, version, grace, overdraft, reserved)
        SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
        ON CONFLICT (id) DO UPDATE
           SET version = excluded.version, grace = excluded.grace,
               overdraft = excluded.overdraft, reserved = excluded.reserved
    ), lots AS (
        INSERT INTO lot (id, account_id, wallet, credits, remaining, source, expires_at,
                         opened_version)
        SELECT * FROM unnest($6::uuid[], $7::uuid[], $8::text[], $9::bigint[], $10::bigint[],
                             $11::text[], $12::timestamptz[], $13::bigint[])
        ON CONFLICT (id) DO UPDATE SET remaining = excluded.remaining
    ), reservations AS (
        INSERT INTO reservation (job_id, account_id, account_version, credits, state,
                                 captured_credits)
        SELECT * FROM unnest($14::uuid[], $15::uuid[], $16::bigint[], $17::bigint[], $18::text[],
                             $19::bigint[])
        ON CONFLICT (job_id) DO UPDATE
           SET state = excluded.state, captured_credits = excluded.captured_credits
    ), transactions AS (
        INSERT INTO transaction (account_id, account_version, id, kind, job_id, settled_after,
                                 grace_after, event_id, causation_id, correlation_id, occurred_at)
        SELECT * FROM unnest($20::uuid[], $21::bigint[], $22::uuid[], $23::text[], $24::uuid[],
                             $25::bigint[], $26::bigint[], $27::uuid[], $28::uuid[], $29::uuid[],
                             $30::timestamptz[])
    )
    INSERT INTO entry (account_id, account_version, line, book, lot_id, credits)
    SELECT * FROM unnest($31::uuid[], $32::bigint[], $33::smallint[], $34::text[], $35::uuid[],
                         $36::bigint[])
"""

FIND_ACCOUNT = """
    SELECT row_to_json(found) FROM (
        SELECT id AS account_id, version, grace, overdraft, reserved, (
            SELECT coalesce(json_agg(held), '[]') FROM (
                SELECT id AS lot_id, wallet, credits, remaining, source, expires_at, opened_version
                  FROM lot WHERE account_id = account.id AND remaining > 0
            ) AS held) AS lots
          FROM account WHERE id = $1
    ) AS found
"""

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


_read_account = msgspec.json.Decoder(Account).decode
_read_accounts = msgspec.json.Decoder(list[Account]).decode
_read_reservations = msgspec.json.Decoder(list[Reservation]).decode


async def load(
    connection: Connection,
    account_ids: Collection[UUID],
    job_ids: Collection[UUID] = (),
    needed_keys: Collection[str] = (),
) -> tuple[Books, bool]:
    """What is known of accounts and jobs, and whether anything waits for one of the keys.

    The accounts are locked until the commit, unknown ones at version 0. With them come the lots
    that can be spent from, and those that open reservations of the jobs give back to.
    """
    row = await connection.fetchrow(LOAD, list(account_ids), list(job_ids), list(needed_keys))
    assert row is not None  # noqa: S101  # a function that returns no set answers one row
    accounts = {each.account_id: _ordered(each) for each in _read_accounts(row["accounts"])}
    reservations = {each.job_id: each for each in _read_reservations(row["reservations"])}
    return Books(accounts, reservations), row["is_awaited"]


async def record(
    connection: Connection, before: Books, after: Books, transactions: Sequence[Transaction]
) -> None:
    """Write transactions and the states that they have led to. Live or in a rebuild, alike."""
    account_ids = {each.account_id for each in transactions}
    job_ids = {each.job_id for each in transactions if each.job_id is not None}
    known = {lot.lot_id: lot for each in account_ids for lot in _lots(before, each)}
    lots = [
        (account_id, lot)
        for account_id in account_ids
        for lot in after.accounts[account_id].lots
        if known.get(lot.lot_id) != lot
    ]
    await write(
        connection,
        transactions,
        accounts=[after.accounts[each] for each in account_ids],
        lots=lots,
        reservations=[after.reservations[each] for each in job_ids],
    )


async def write(
    connection: Connection,
    transactions: Sequence[Transaction],
    *,
    accounts: Iterable[Account] = (),
    lots: Iterable[tuple[UUID, Lot]] = (),
    reservations: Iterable[Reservation] = (),
) -> None:
    """Write transactions with their entries; states of accounts, of (account, lot), of jobs."""
    if transactions:
        rows = rows_of(transactions, accounts=accounts, lots=lots, reservations=reservations)
        await connection.execute(
            WRITE,
            *chain.from_iterable(
                zip(*rows[table], strict=True) if rows[table] else ((),) * len(columns)
                for table, columns in COLUMNS.items()
            ),
        )


def rows_of(
    transactions: Sequence[Transaction] = (),
    *,
    accounts: Iterable[Account] = (),
    lots: Iterable[tuple[UUID, Lot]] = (),
    reservations: Iterable[Reservation] = (),
) -> dict[str, list[Row]]:
    """The rows of every table, in its COLUMNS."""
    return {
        "account": [_account_row(each) for each in accounts],
        "lot": [_lot_row(account_id, lot) for account_id, lot in lots],
        "reservation": [_reservation_row(each) for each in reservations],
        "transaction": [_header_row(each) for each in transactions],
        "entry": [row for each in transactions for row in _entry_rows(each)],
    }


async def find_account(connection: Connection, account_id: UUID) -> Account | None:
    """An account with the lots that it can spend from."""
    found = await connection.fetchval(FIND_ACCOUNT, account_id)
    return None if found is None else _ordered(_read_account(found))


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


def _ordered(account: Account) -> Account:
    if len(account.lots) < 2:
        return account
    return replace(account, lots=in_burn_order(account.lots))


def _lots(books: Books, account_id: UUID) -> Sequence[Lot]:
    account = books.accounts.get(account_id)
    return () if account is None else account.lots


def _account_row(account: Account) -> Row:
    return (
        account.account_id,
        account.version,
        account.grace,
        account.overdraft,
        account.reserved,
    )


def _lot_row(account_id: UUID, lot: Lot) -> Row:
    return (
        lot.lot_id,
        account_id,
        lot.wallet.value,
        lot.credits,
        lot.remaining,
        lot.source,
        lot.expires_at,
        lot.opened_version,
    )


def _reservation_row(reservation: Reservation) -> Row:
    return (
        reservation.job_id,
        reservation.account_id,
        reservation.account_version,
        reservation.credits,
        reservation.state.value,
        reservation.captured_credits,
    )


def _header_row(transaction: Transaction) -> Row:
    return (
        transaction.account_id,
        transaction.account_version,
        transaction.transaction_id,
        transaction.kind.value,
        transaction.job_id,
        transaction.settled_after,
        transaction.grace_after,
        transaction.event_id,
        transaction.causation_id,
        transaction.correlation_id,
        transaction.occurred_at,
    )


def _entry_rows(transaction: Transaction) -> Iterator[Row]:
    account_id, version = transaction.account_id, transaction.account_version
    for line, entry in enumerate(transaction.entries):
        yield (account_id, version, line, entry.book.value, entry.lot_id, entry.credits)


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
