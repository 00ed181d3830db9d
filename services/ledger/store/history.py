"""What accounts hold, held, and what has moved them: for reading, nothing is locked."""

from datetime import datetime
from uuid import UUID

import msgspec
from asyncpg import Record
from msgspec.structs import replace

from libs.runtime.db import Connection
from services.ledger.domain.account import Account
from services.ledger.domain.lots import in_burn_order
from services.ledger.domain.postings import (
    Book,
    Entry,
    Remark,
    Transaction,
    TransactionKind,
)

FIND_ACCOUNT = """
    SELECT row_to_json(found) FROM (
        SELECT id AS account_id, version, grace, overdraft, overdraft_reserved, reserved,
               renewed_version, renewed_until, (
            SELECT coalesce(json_agg(held), '[]') FROM (
                SELECT id AS lot_id, wallet, credits, remaining, source, expires_at, opened_version,
                       priority
                  FROM lot WHERE account_id = account.id AND is_spendable
            ) AS held) AS lots
          FROM account WHERE id = $1
    ) AS found
"""

# The sums of what was posted up to a version, which is the one given or the last by a time.
_AS_OF = """
    WITH stand AS (
        SELECT account_version, grace_after FROM transaction
         WHERE account_id = $1 AND {condition}
         LIMIT 1
    ), sums AS (
        SELECT book, lot_id, sum(entry.credits)::bigint AS credits
          FROM entry JOIN stand ON entry.account_version <= stand.account_version
         WHERE account_id = $1 GROUP BY book, lot_id
    )
    SELECT row_to_json(listed) FROM (
        SELECT $1::uuid AS account_id, account_version AS version, grace_after AS grace,
               (SELECT coalesce(sum(credits), 0) FROM sums WHERE book = 'overdraft') AS overdraft,
               (SELECT coalesce(sum(credits), 0) FROM sums WHERE book = 'reserved') AS reserved, (
            SELECT coalesce(json_agg(held), '[]') FROM (
                SELECT lot_id, wallet, lot.credits, sums.credits AS remaining, source, expires_at,
                       opened_version, priority
                  FROM sums JOIN lot ON lot.id = lot_id
                 WHERE book = 'lot' AND sums.credits > 0
            ) AS held) AS lots
          FROM stand
    ) AS listed
"""
FIND_AT_VERSION = _AS_OF.format(condition="account_version <= $2 ORDER BY account_version DESC")
FIND_AT_TIME = _AS_OF.format(condition="occurred_at <= $2 ORDER BY account_version DESC")

_TRANSACTIONS = """
    SELECT account_id, account_version, id, kind, job_id, settled_after, grace_after,
           event_id, causation_id, correlation_id, occurred_at,
           lines.books, lines.lot_ids, lines.amounts,
           source, reference, actor_id, reason, reverses_id
      FROM transaction CROSS JOIN LATERAL (
        SELECT array_agg(book ORDER BY line) AS books,
               array_agg(lot_id ORDER BY line) AS lot_ids,
               array_agg(credits ORDER BY line) AS amounts
          FROM entry
         WHERE entry.account_id = transaction.account_id
           AND entry.account_version = transaction.account_version
      ) AS lines
      LEFT JOIN remark ON transaction_id = transaction.id
     WHERE account_id = $1 AND account_version < $2
"""
LIST_TRANSACTIONS = f"{_TRANSACTIONS} ORDER BY account_version DESC LIMIT $3"
LIST_TRANSACTIONS_OF_JOB = f"{_TRANSACTIONS} AND job_id = $4 ORDER BY account_version DESC LIMIT $3"


_read_account = msgspec.json.Decoder(Account).decode


async def find_account(connection: Connection, account_id: UUID) -> Account | None:
    """An account with the lots that it can spend from."""
    return _account(await connection.fetchval(FIND_ACCOUNT, account_id))


async def find_account_as_of(
    connection: Connection, account_id: UUID, *, at: datetime | None, version: int | None
) -> Account | None:
    """An account as its postings had made it by a version or a time; none if it was not open.

    What of the overdraft was reserved is left out: the postings do not tell.
    """
    if version is not None:
        return _account(await connection.fetchval(FIND_AT_VERSION, account_id, version))
    return _account(await connection.fetchval(FIND_AT_TIME, account_id, at))


def _account(found: str | None) -> Account | None:
    if found is None:
        return None
    account = _read_account(found)
    return replace(account, lots=in_burn_order(account.lots))


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
        remark=_remark(row),
    )


def _remark(row: Record) -> Remark | None:
    if row["source"] is None:
        return None
    return Remark(
        source=row["source"],
        reference=row["reference"],
        actor=row["actor_id"],
        reason=row["reason"],
        reverses=row["reverses_id"],
    )
