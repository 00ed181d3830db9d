"""Statements of a recovery: what the streams know and the tables do not."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from libs.events.generation import RequestFacts
from libs.events.identity import LimitChanged, UserRegistered
from libs.events.operations import PriceBookAdded
from libs.runtime.db import Connection

ADD_USERS = """
    INSERT INTO users (user_id, role, created_at, updated_at)
    SELECT user_id, role, at, at
      FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[])
           AS registered (user_id, account_id, role, at)
     WHERE NOT EXISTS (SELECT FROM erased_account
                        WHERE erased_account.account_id = registered.account_id)
    ON CONFLICT (user_id) DO NOTHING RETURNING user_id
"""
ADD_JOBS = """
    WITH asked AS (
        SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[],
                             $6::text[], $7::text[], $8::text[], $9::integer[], $10::bigint[],
                             $11::bigint[], $12::timestamptz[], $13::timestamptz[], $14::bigint[],
                         $15::uuid[])
               AS asked (job_id, account_id, user_id, operation, provider, model, prompt, options,
                         units, unit_credits, price_book_version, created_at, deadline_at, held,
                         workspace_id)
    ), accepted AS (
        INSERT INTO job (job_id, account_id, user_id, operation, provider, model, prompt, options,
                         units, unit_credits, price_book_version, created_at, deadline_at,
                         workspace_id, tokens_estimated, metered_on)
        SELECT job_id, account_id, user_id, operation, provider, model, prompt, options::jsonb,
               units, unit_credits, price_book_version, created_at, deadline_at,
               workspace_id, 0, created_at::date  -- its own answer tells its tokens
          FROM asked
        ON CONFLICT (job_id) DO NOTHING RETURNING job_id
    ), opened AS (
        INSERT INTO hold (subject_id, account_id, credits, opened_at)
        SELECT job_id, account_id, held, created_at FROM asked JOIN accepted USING (job_id)
    ), held AS (
        UPDATE credit_account SET held = credit_account.held + total.held
          FROM (SELECT account_id, sum(held)::bigint AS held FROM asked JOIN accepted USING (job_id)
                 GROUP BY account_id) AS total
         WHERE credit_account.account_id = total.account_id
    )
    SELECT job_id FROM accepted
"""


ADD_PRICE_BOOKS = """
    INSERT INTO price_book (version, effective_from, sha256, body)
    SELECT * FROM unnest($1::bigint[], $2::timestamptz[], $3::text[], $4::text[])
    ON CONFLICT (version) DO NOTHING
"""
WRITE_BANS = """
    UPDATE users SET banned_at = new.at, ban_reason = new.reason
      FROM unnest($1::uuid[], $2::timestamptz[], $3::text[]) AS new (user_id, at, reason)
     WHERE users.user_id = new.user_id
"""
REVOKE_KEYS = """
    UPDATE api_key SET revoked_at = coalesce(revoked_at, new.at)
      FROM unnest($1::uuid[], $2::timestamptz[]) AS new (key_id, at)
     WHERE api_key.key_id = new.key_id
"""
END_LOG_INS = """
    UPDATE users SET session_epoch = greatest(session_epoch, new.epoch),
           sessions_from = greatest(sessions_from, new.at)
      FROM unnest($1::uuid[], $2::integer[], $3::timestamptz[]) AS new (user_id, epoch, at)
     WHERE users.user_id = new.user_id
"""
WRITE_LIMITS = """
    INSERT INTO allowance (kind, subject, per_minute, credits_per_day, tokens_per_day,
                           throttle_per_minute, throttled_until)
    SELECT * FROM unnest($1::text[], $2::text[], $3::integer[], $4::bigint[], $5::bigint[],
                         $6::integer[], $7::timestamptz[])
    ON CONFLICT (kind, subject) DO UPDATE
       SET per_minute = excluded.per_minute, credits_per_day = excluded.credits_per_day,
           tokens_per_day = excluded.tokens_per_day,
           throttle_per_minute = excluded.throttle_per_minute,
           throttled_until = excluded.throttled_until
"""


async def add_price_books(connection: Connection, books: Sequence[PriceBookAdded]) -> None:
    """Add the price books that are not there yet."""
    await connection.execute(
        ADD_PRICE_BOOKS,
        [each.version for each in books],
        [each.effective_from for each in books],
        [each.sha256 for each in books],
        [each.body for each in books],
    )


async def write_bans(
    connection: Connection, bans: Mapping[UUID, tuple[datetime | None, str | None]]
) -> None:
    """Since when each of these users is banned, and why; nothing: they are not."""
    await connection.execute(
        WRITE_BANS, list(bans), [at for at, _ in bans.values()], [why for _, why in bans.values()]
    )


async def revoke_keys(connection: Connection, revoked: Mapping[UUID, datetime]) -> None:
    """Close keys that a backup may still take for open."""
    await connection.execute(REVOKE_KEYS, list(revoked), list(revoked.values()))


async def end_log_ins(connection: Connection, ended: Mapping[UUID, tuple[int, datetime]]) -> None:
    """The epoch of each user's log-ins, and since when."""
    epochs, begun = zip(*ended.values(), strict=True)
    await connection.execute(END_LOG_INS, list(ended), list(epochs), list(begun))


async def write_limits(connection: Connection, limits: Sequence[LimitChanged]) -> None:
    """What is set for subjects, each of them once."""
    await connection.execute(
        WRITE_LIMITS,
        [each.kind for each in limits],
        [each.limited for each in limits],
        [each.per_minute for each in limits],
        [each.credits_per_day for each in limits],
        [each.tokens_per_day for each in limits],
        [each.throttle_per_minute for each in limits],
        [each.throttled_until for each in limits],
    )


async def add_users(
    connection: Connection, users: Sequence[tuple[UserRegistered, datetime]]
) -> list[UUID]:
    """Write users that are not there yet, as they were announced; answers which those were."""
    rows = await connection.fetch(
        ADD_USERS,
        [each.user_id for each, _ in users],
        [each.account_id for each, _ in users],
        [each.role for each, _ in users],
        [at for _, at in users],
    )
    return [row["user_id"] for row in rows]


async def add_jobs(connection: Connection, requests: Sequence[RequestFacts]) -> list[UUID]:
    """Accept jobs that are not there yet, with their holds; answers which those were."""
    rows = await connection.fetch(
        ADD_JOBS,
        [each.job_id for each in requests],
        [each.account_id for each in requests],
        [each.user_id for each in requests],
        [each.operation for each in requests],
        [each.provider for each in requests],
        [each.model for each in requests],
        [each.prompt for each in requests],
        [msgspec.json.encode(each.options).decode() for each in requests],
        [each.units for each in requests],
        [each.unit_credits for each in requests],
        [each.price_book_version for each in requests],
        [each.requested_at for each in requests],
        [each.deadline_at for each in requests],
        [each.credits_held for each in requests],
        [each.workspace_id for each in requests],
    )
    return [row["job_id"] for row in rows]
