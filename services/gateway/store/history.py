"""Statements of a recovery: accounts and jobs that the streams know and the tables do not."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from libs.events.generation import RequestFacts
from libs.events.identity import UserRegistered
from libs.runtime.db import Connection

ADD_USERS = """
    WITH registered AS (
        SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::bigint[],
                             $6::timestamptz[])
               AS registered (user_id, account_id, role, credits, grace, at)
    ), opened AS (
        INSERT INTO credit_account (account_id, version, settled, grace, held)
        SELECT account_id, 0, credits, grace, 0 FROM registered ON CONFLICT DO NOTHING
    ), limited AS (
        INSERT INTO rate_limit (principal_id, drained_at)
        SELECT user_id, to_timestamp(0) FROM registered ON CONFLICT DO NOTHING
    )
    INSERT INTO users (user_id, role, created_at, updated_at)
    SELECT user_id, role, at, at FROM registered
     WHERE NOT EXISTS (SELECT FROM erased_account
                        WHERE erased_account.account_id = registered.account_id)
    ON CONFLICT (user_id) DO NOTHING RETURNING user_id
"""
ADD_JOBS = """
    WITH asked AS (
        SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[],
                             $6::text[], $7::text[], $8::text[], $9::integer[], $10::bigint[],
                             $11::bigint[], $12::timestamptz[], $13::timestamptz[], $14::bigint[])
               AS asked (job_id, account_id, user_id, operation, provider, model, prompt, options,
                         units, unit_credits, price_book_version, created_at, deadline_at, held)
    ), accepted AS (
        INSERT INTO job (job_id, account_id, user_id, operation, provider, model, prompt, options,
                         units, unit_credits, price_book_version, created_at, deadline_at)
        SELECT job_id, account_id, user_id, operation, provider, model, prompt, options::jsonb,
               units, unit_credits, price_book_version, created_at, deadline_at FROM asked
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


async def add_users(
    connection: Connection, users: Sequence[tuple[UserRegistered, datetime]]
) -> list[UUID]:
    """Open accounts that are not there yet, as they were announced; answers which those were."""
    rows = await connection.fetch(
        ADD_USERS,
        [each.user_id for each, _ in users],
        [each.account_id for each, _ in users],
        [each.role for each, _ in users],
        [each.signup_credits for each, _ in users],
        [each.grace for each, _ in users],
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
    )
    return [row["job_id"] for row in rows]
