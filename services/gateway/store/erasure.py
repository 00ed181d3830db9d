"""Statements that forget a person: log-in, feed and words go, the books of their account stay."""

from collections.abc import Sequence
from uuid import UUID

from libs.runtime.db import Connection

LOCK_ACCOUNTS = """
    SELECT FROM credit_account WHERE account_id = ANY($1::uuid[]) ORDER BY account_id FOR UPDATE
"""
DELETE_KEYS = """
    WITH gone AS (
        DELETE FROM api_key WHERE user_id = ANY($1::uuid[]) RETURNING key_id
    )
    DELETE FROM allowance
     WHERE (kind = 'key' AND subject IN (SELECT key_id::text FROM gone))
        OR (kind = 'user' AND subject = ANY($1::uuid[]::text[]))
"""
# Whoever an outside issuer lets in still has tokens from before: their row says so.
CLOSE_IDENTITIES = """
    UPDATE outside_identity SET user_id = NULL, closed_at = now() WHERE user_id = ANY($1::uuid[])
"""
DOOM_PICTURES = """
    INSERT INTO profile_object (key, due_at)
    SELECT profile_image, now() FROM users
     WHERE user_id = ANY($1::uuid[]) AND profile_image IS NOT NULL
    ON CONFLICT (key) DO UPDATE SET due_at = excluded.due_at
"""
DELETE_USERS = "DELETE FROM users WHERE user_id = ANY($1::uuid[]) RETURNING user_id"
LOCK_JOBS = "SELECT FROM job WHERE user_id = ANY($1::uuid[]) ORDER BY job_id FOR UPDATE"
BLANK_JOBS = """
    UPDATE job SET prompt = '', options = '{}', webhook_url = NULL,
           answer = answer - 'texts' - 'images'
               || CASE WHEN answer ? 'failure_message' THEN '{"failure_message": ""}'
                       ELSE '{}' END::jsonb
     WHERE user_id = ANY($1::uuid[])
"""
DELETE_TRACES = """
    WITH told AS (
        DELETE FROM feed WHERE user_id = ANY($1::uuid[])
    ), inputs AS (
        DELETE FROM job_input USING job
         WHERE job.job_id = job_input.job_id AND job.user_id = ANY($1::uuid[])
    ), webhooks AS (
        DELETE FROM webhook_endpoint WHERE user_id = ANY($1::uuid[])
    ), heads AS (
        DELETE FROM feed_head WHERE user_id = ANY($1::uuid[])
    )
    DELETE FROM idempotency WHERE principal_id = ANY($1::uuid[])
"""


async def forget_users(connection: Connection, user_ids: Sequence[UUID]) -> list[UUID]:
    """Remove persons; answers which of them could log in until now.

    Their accounts are locked first, as an admission does: none is accepted from here on.
    """
    await connection.execute(LOCK_ACCOUNTS, user_ids)
    await connection.execute(DELETE_KEYS, user_ids)
    await connection.execute(CLOSE_IDENTITIES, user_ids)
    await connection.execute(DOOM_PICTURES, user_ids)
    rows = await connection.fetch(DELETE_USERS, user_ids)
    await connection.execute(LOCK_JOBS, user_ids)
    await connection.execute(BLANK_JOBS, user_ids)
    await connection.execute(DELETE_TRACES, user_ids)
    return [row["user_id"] for row in rows]
