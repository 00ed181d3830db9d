"""Statements about what providers tell by themselves."""

from datetime import datetime

from libs.runtime.db import Connection

KEEP = """
    WITH forgotten AS (DELETE FROM webhook WHERE received_at < $4)
    INSERT INTO webhook (provider, submission_id, received_at) VALUES ($1, $2, $3)
    ON CONFLICT DO NOTHING RETURNING true
"""


async def keep(
    connection: Connection,
    provider: str,
    submission_id: str,
    *,
    now: datetime,
    forgotten_before: datetime,
) -> bool:
    """Note a call about a provider's job; False if it has come before."""
    is_new: bool | None = await connection.fetchval(
        KEEP, provider, submission_id, now, forgotten_before
    )
    return bool(is_new)
