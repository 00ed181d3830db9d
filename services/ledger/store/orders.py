"""What persons have ordered, and what an order can reverse."""

from datetime import datetime
from uuid import UUID

from msgspec import Struct

from libs.runtime.db import Connection
from services.ledger.domain.posted import Posted, posted_by
from services.ledger.domain.postings import Book, Entry, TransactionKind

CLAIM_ORDER = """
    INSERT INTO ordered (order_id, fingerprint, account_id, ordered_at) VALUES ($1, $2, $3, $4)
    ON CONFLICT DO NOTHING RETURNING order_id
"""
FIND_ORDER = """
    SELECT fingerprint, account_version, transaction_id FROM ordered WHERE order_id = $1
"""
COMPLETE_ORDER = """
    UPDATE ordered SET account_version = $2, transaction_id = $3 WHERE order_id = $1
"""
LOCK_ACCOUNT = "SELECT version FROM account WHERE id = $1 AND version > 0 FOR NO KEY UPDATE"
FIND_BOOKED = "SELECT account_version FROM transaction WHERE account_id = $1 AND id = $2"
FIND_POSTED = """
    SELECT kind, book, credits, lot_id
      FROM transaction JOIN entry USING (account_id, account_version)
     WHERE account_id = $1 AND id = $2 ORDER BY line
"""


class Claim(Struct, frozen=True):
    """An order about to be carried out."""

    order_id: UUID
    fingerprint: bytes
    account_id: UUID
    at: datetime


class Earlier(Struct, frozen=True):
    """An order that was carried out."""

    fingerprint: bytes
    account_version: int
    transaction_id: UUID


async def claim_order(connection: Connection, claim: Claim) -> bool:
    """Note an order; false if it was carried out before. Waits for one that is under way."""
    arguments = claim.order_id, claim.fingerprint, claim.account_id, claim.at
    return await connection.fetchval(CLAIM_ORDER, *arguments) is not None


async def find_order(connection: Connection, order_id: UUID) -> Earlier:
    """What an order that is noted has led to."""
    row = await connection.fetchrow(FIND_ORDER, order_id)
    assert row is not None  # noqa: S101  # orders are never forgotten
    return Earlier(*row)


async def complete_order(
    connection: Connection, order_id: UUID, account_version: int, transaction_id: UUID
) -> None:
    """Note what an order has led to."""
    await connection.execute(COMPLETE_ORDER, order_id, account_version, transaction_id)


async def lock_account(connection: Connection, account_id: UUID) -> bool:
    """Lock an open account; false where there is none, and nothing is written."""
    return await connection.fetchval(LOCK_ACCOUNT, account_id) is not None


async def find_booked(connection: Connection, account_id: UUID, transaction_id: UUID) -> int:
    """At which version of its account a transaction stands."""
    version: int = await connection.fetchval(FIND_BOOKED, account_id, transaction_id)
    return version


async def find_posted(
    connection: Connection, account_id: UUID, transaction_id: UUID
) -> Posted | None:
    """What a transaction of an account has done."""
    rows = await connection.fetch(FIND_POSTED, account_id, transaction_id)
    if not rows:
        return None
    entries = [Entry(Book(row["book"]), row["credits"], row["lot_id"]) for row in rows]
    return posted_by(account_id, transaction_id, TransactionKind(rows[0]["kind"]), entries)
