"""The books: locked and loaded for a batch, and written back, in one statement each."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import Any, Final, TypeAlias
from uuid import UUID

import msgspec
from msgspec.structs import replace

from libs.runtime.db import Connection
from services.ledger.domain.account import Account, Reservation
from services.ledger.domain.corrections import Past
from services.ledger.domain.fold import Books
from services.ledger.domain.lots import NEVER, Lot, in_burn_order
from services.ledger.domain.postings import Transaction

Row: TypeAlias = tuple[Any, ...]

# In the order in which `rows_of` fills them; WRITE and WRITE_REMARKS take them.
COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "account": (
        "id",
        "version",
        "grace",
        "overdraft",
        "overdraft_reserved",
        "reserved",
        "renewed_version",
        "renewed_until",
    ),
    "lot": (
        "id",
        "account_id",
        "wallet",
        "credits",
        "remaining",
        "source",
        "expires_at",
        "opened_version",
        "priority",
        "ended_at",
        "reclaimable",
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
    "remark": ("transaction_id", "source", "reference", "actor_id", "reason", "reverses_id"),
    "entry": ("account_id", "account_version", "line", "book", "lot_id", "credits"),
}

LOAD = """
    SELECT accounts, lots, reservations, known, is_awaited
      FROM load_books($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5)
"""

# One statement: one trip, and the database looks at a transaction and its entries together.
# "On conflict" finds its rows through the primary key; an update from a join may not.
WRITE = """
    WITH accounts AS (
        INSERT INTO account (id, version, grace, overdraft, overdraft_reserved, reserved,
                             renewed_version, renewed_until)
        SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[],
                             $6::bigint[], $7::bigint[], $8::timestamptz[])
        ON CONFLICT (id) DO UPDATE
           SET version = excluded.version, grace = excluded.grace,
               overdraft = excluded.overdraft, overdraft_reserved = excluded.overdraft_reserved,
               reserved = excluded.reserved, renewed_version = excluded.renewed_version,
               renewed_until = excluded.renewed_until
    ), lots AS (
        INSERT INTO lot (id, account_id, wallet, credits, remaining, source, expires_at,
                         opened_version, priority, ended_at, reclaimable)
        SELECT * FROM unnest($9::uuid[], $10::uuid[], $11::text[], $12::bigint[], $13::bigint[],
                             $14::text[], $15::timestamptz[], $16::bigint[], $17::integer[],
                             $18::timestamptz[], $19::bigint[])
        ON CONFLICT (id) DO UPDATE
           SET remaining = excluded.remaining, ended_at = excluded.ended_at,
               reclaimable = excluded.reclaimable
    ), reservations AS (
        INSERT INTO reservation (job_id, account_id, account_version, credits, state,
                                 captured_credits)
        SELECT * FROM unnest($20::uuid[], $21::uuid[], $22::bigint[], $23::bigint[], $24::text[],
                             $25::bigint[])
        ON CONFLICT (job_id) DO UPDATE
           SET state = excluded.state, captured_credits = excluded.captured_credits
    ), transactions AS (
        INSERT INTO transaction (account_id, account_version, id, kind, job_id, settled_after,
                                 grace_after, event_id, causation_id, correlation_id, occurred_at)
        SELECT * FROM unnest($26::uuid[], $27::bigint[], $28::uuid[], $29::text[], $30::uuid[],
                             $31::bigint[], $32::bigint[], $33::uuid[], $34::uuid[], $35::uuid[],
                             $36::timestamptz[])
    )
    INSERT INTO entry (account_id, account_version, line, book, lot_id, credits)
    SELECT * FROM unnest($37::uuid[], $38::bigint[], $39::smallint[], $40::text[], $41::uuid[],
                         $42::bigint[])
"""

# Apart from the rest: few transactions have one.
WRITE_REMARKS = """
    INSERT INTO remark (transaction_id, source, reference, actor_id, reason, reverses_id)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::text[], $6::uuid[])
"""


class OwnedLot(msgspec.Struct, frozen=True, gc=False):
    """A lot, and whose it is."""

    account_id: UUID
    lot: Lot


class Needed(msgspec.Struct, frozen=True, kw_only=True):
    """What of the books a batch can touch."""

    account_ids: Collection[UUID]
    job_ids: Collection[UUID] = ()
    keys: Collection[str] = ()  # under which something may wait
    transaction_ids: Collection[UUID] = ()  # which may have been booked before
    admitted_from: datetime = NEVER  # when the earliest request was admitted


_read_accounts = msgspec.json.Decoder(list[Account]).decode
_read_lots = msgspec.json.Decoder(list[OwnedLot]).decode
_read_known = msgspec.json.Decoder(dict[UUID, UUID]).decode
_read_reservations = msgspec.json.Decoder(list[Reservation]).decode


async def load(connection: Connection, needed: Needed) -> tuple[Books, bool]:
    """What is known of accounts and jobs, and whether anything waits for one of the keys.

    The accounts are locked until the commit, unknown ones at version 0. With them come the lots
    that can be spent from, those that open reservations of the jobs give back to, and those that
    ended after the earliest admission.
    """
    row = await connection.fetchrow(
        LOAD,
        list(needed.account_ids),
        list(needed.job_ids),
        list(needed.keys),
        list(needed.transaction_ids),
        needed.admitted_from,
    )
    assert row is not None  # noqa: S101  # a function that returns no set answers one row
    lots: dict[UUID, list[Lot]] = {}
    for owned in _read_lots(row["lots"]):
        lots.setdefault(owned.account_id, []).append(owned.lot)
    accounts = {
        each.account_id: replace(each, lots=in_burn_order(lots.get(each.account_id, ())))
        for each in _read_accounts(row["accounts"])
    }
    reservations = {each.job_id: each for each in _read_reservations(row["reservations"])}
    past = Past(_read_known(row["known"]))
    return Books(accounts, reservations, past=past), row["is_awaited"]


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
        remarks = rows.pop("remark")
        await connection.execute(
            WRITE, *chain.from_iterable(_columns(table, found) for table, found in rows.items())
        )
        if remarks:
            await connection.execute(WRITE_REMARKS, *_columns("remark", remarks))


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
        "remark": [_remark_row(each) for each in transactions if each.remark is not None],
        "entry": [row for each in transactions for row in _entry_rows(each)],
    }


def _columns(table: str, rows: Sequence[Row]) -> Iterable[Row]:
    return tuple(zip(*rows, strict=True)) or ((),) * len(COLUMNS[table])


def _lots(books: Books, account_id: UUID) -> Sequence[Lot]:
    account = books.accounts.get(account_id)
    return () if account is None else account.lots


def _account_row(account: Account) -> Row:
    return (
        account.account_id,
        account.version,
        account.grace,
        account.overdraft,
        account.overdraft_reserved,
        account.reserved,
        account.renewed_version,
        account.renewed_until,
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
        lot.priority,
        lot.ended_at,
        lot.reclaimable,
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


def _remark_row(transaction: Transaction) -> Row:
    remark = transaction.remark
    assert remark is not None  # noqa: S101  # the caller has looked
    return (
        transaction.transaction_id,
        remark.source,
        remark.reference,
        remark.actor,
        remark.reason,
        remark.reverses,
    )


def _entry_rows(transaction: Transaction) -> Iterator[Row]:
    account_id, version = transaction.account_id, transaction.account_version
    for line, entry in enumerate(transaction.entries):
        yield (account_id, version, line, entry.book.value, entry.lot_id, entry.credits)
