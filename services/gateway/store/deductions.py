"""Deductions and their holds."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from libs.events.identity import DeductionRequested
from libs.runtime.db import Connection
from services.gateway.domain.books import Hold
from services.gateway.domain.credits import AccountCopy

ACCOUNT_CHANNEL = "account"  # wakes who waits for an account's copy, by the account's id

LOCK_ACCOUNT = """
    SELECT version, settled, grace, held FROM credit_account WHERE account_id = $1 FOR UPDATE
"""
FIND_VERSION = "SELECT version FROM credit_account WHERE account_id = $1"
ADD = """
    WITH added AS (
        INSERT INTO deduction (deduction_id, account_id, credits, actor_id, reason, requested_at)
        SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::uuid[], $5::text[],
                             $6::timestamptz[])
        ON CONFLICT (deduction_id) DO NOTHING
        RETURNING deduction_id, account_id, credits, requested_at
    ), holding AS (
        UPDATE credit_account SET held = held + total.credits
          FROM (SELECT account_id, sum(credits)::bigint AS credits FROM added
                 GROUP BY account_id) AS total
         WHERE credit_account.account_id = total.account_id
    )
    INSERT INTO hold (subject_id, account_id, credits, opened_at)
    SELECT deduction_id, account_id, credits, requested_at FROM added
    RETURNING subject_id
"""
FIND = """
    SELECT deduction_id, d.account_id, d.credits, reason, closed_at
      FROM deduction AS d JOIN hold ON subject_id = deduction_id
     WHERE deduction_id = $1
"""
LOCK_HOLDS = """
    SELECT subject_id, hold.account_id, hold.credits, closed_at
      FROM hold JOIN deduction ON deduction_id = subject_id
     WHERE subject_id = ANY($1::uuid[]) ORDER BY subject_id FOR UPDATE OF hold
"""
CLOSE_HOLDS = """
    UPDATE hold SET closed_at = new.closed_at
      FROM unnest($1::uuid[], $2::timestamptz[]) AS new (subject_id, closed_at)
     WHERE hold.subject_id = new.subject_id
"""


class Deduction(Struct, frozen=True, kw_only=True):
    """A deduction; booked once its hold is closed."""

    deduction_id: UUID
    account_id: UUID
    credits: int
    reason: str
    closed_at: datetime | None


async def lock_account(connection: Connection, account_id: UUID) -> AccountCopy | None:
    row = await connection.fetchrow(LOCK_ACCOUNT, account_id)
    return None if row is None else AccountCopy(**row)


async def find_version(connection: Connection, account_id: UUID) -> int:
    """Up to which version of the ledger's account the copy has come; -1 where there is none."""
    version = await connection.fetchval(FIND_VERSION, account_id)
    return -1 if version is None else int(version)


async def add(connection: Connection, requested: Sequence[DeductionRequested]) -> list[UUID]:
    """Write deductions with their holds, those that are not there yet; answers which those are."""
    rows = await connection.fetch(
        ADD,
        [each.deduction_id for each in requested],
        [each.account_id for each in requested],
        [each.credits for each in requested],
        [each.actor for each in requested],
        [each.reason for each in requested],
        [each.requested_at for each in requested],
    )
    return [row["subject_id"] for row in rows]


async def find(connection: Connection, deduction_id: UUID) -> Deduction | None:
    row = await connection.fetchrow(FIND, deduction_id)
    return None if row is None else Deduction(**row)


async def lock_holds(connection: Connection, ids: Collection[UUID]) -> dict[UUID, Hold]:
    """The holds of deductions. Lock their accounts before."""
    if not ids:
        return {}
    rows = await connection.fetch(LOCK_HOLDS, list(ids))
    return {
        row["subject_id"]: Hold(
            account_id=row["account_id"], credits=row["credits"], closed_at=row["closed_at"]
        )
        for row in rows
    }


async def close_holds(connection: Connection, closed: Mapping[UUID, datetime]) -> None:
    if closed:
        await connection.execute(CLOSE_HOLDS, list(closed), list(closed.values()))
