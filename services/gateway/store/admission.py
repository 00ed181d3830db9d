"""What an admission reads under its locks, and what it leaves behind: one statement each."""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec
from msgspec import Struct

from libs.events.generation import RequestFacts
from libs.runtime.db import Connection
from services.gateway.domain.admission import Earlier, Terms
from services.gateway.domain.credits import AccountCopy
from services.gateway.domain.pricing import read_book

REMEMBERED: Final = timedelta(hours=24)

SELECT_TERMS = "SELECT * FROM admission_terms($1, $2, $3, $4, $5)"

# The account and the limit are locked since SELECT_TERMS, so absolute figures are safe to write.
INSERT_ADMISSION = """
    WITH held AS (
        UPDATE credit_account SET held = held + $18::bigint WHERE account_id = $2
    ), counted AS (
        UPDATE rate_limit SET drained_at = $14 WHERE principal_id = $3
    ), accepted AS (
        INSERT INTO job (job_id, account_id, user_id, operation, provider, model, prompt, options,
                         units, unit_credits, price_book_version, created_at, deadline_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8::jsonb, $9, $10, $11, $12, $13)
    ), opened AS (
        INSERT INTO hold (subject_id, account_id, credits, opened_at)
        VALUES ($1, $2, $18::bigint, $12)
    )
    INSERT INTO idempotency (principal_id, route, key, fingerprint, job_id, accepted_at)
    SELECT $3, $15, $16, $17, $1, $12 WHERE $16::text IS NOT NULL
    ON CONFLICT (principal_id, route, key) DO UPDATE
       SET fingerprint = excluded.fingerprint, job_id = excluded.job_id,
           accepted_at = excluded.accepted_at
"""


class Claim(Struct, frozen=True, kw_only=True):
    """Under which key a request asks to be accepted at most once."""

    route: str
    key: str | None
    fingerprint: bytes


async def admission_terms(
    connection: Connection, *, account_id: UUID, user_id: UUID, claim: Claim
) -> Terms | None:
    """Lock the account and the user's limit, and read what a decision needs. None: no such user."""
    row = await connection.fetchrow(
        SELECT_TERMS, account_id, user_id, claim.route, claim.key, REMEMBERED
    )
    if row is None:
        return None
    earlier = row["earlier_job"]
    return Terms(
        now=row["at"],
        is_banned=row["banned_at"] is not None,
        account=AccountCopy(
            version=row["version"], settled=row["settled"], grace=row["grace"], held=row["held"]
        ),
        limit_drained_at=row["drained_at"],
        book=read_book(row["book"]),
        book_version=row["book_version"],
        earlier=earlier and Earlier(job_id=earlier, fingerprint=row["earlier_fingerprint"]),
    )


async def write_admission(
    connection: Connection, facts: RequestFacts, *, claim: Claim, limit_drained_at: datetime
) -> None:
    """Write job, hold, limit and idempotency record of an admitted request."""
    await connection.execute(
        INSERT_ADMISSION,
        facts.job_id,
        facts.account_id,
        facts.user_id,
        facts.operation,
        facts.provider,
        facts.model,
        facts.prompt,
        msgspec.json.encode(facts.options).decode(),
        facts.units,
        facts.unit_credits,
        facts.price_book_version,
        facts.requested_at,
        facts.deadline_at,
        limit_drained_at,
        claim.route,
        claim.key,
        claim.fingerprint,
        facts.credits_held,
    )
