"""The ids of the events that a consumer has handled: a repeat under the same id is dropped here."""

from collections.abc import Sequence
from uuid import UUID

from libs.runtime.db import Transaction

# Inserted in one order everywhere, so that two transactions over the same ids cannot deadlock.
ADMIT = """
    INSERT INTO inbox (consumer, event_id)
    SELECT $1, event_id FROM unnest($2::uuid[]) AS event_id ORDER BY event_id
    ON CONFLICT DO NOTHING RETURNING event_id
"""


async def admit(transaction: Transaction, consumer: str, event_ids: Sequence[UUID]) -> set[UUID]:
    """Record ids as handled; answers those that were new."""
    if not event_ids:
        return set()
    rows = await transaction.connection.fetch(ADMIT, consumer, event_ids)
    return {row["event_id"] for row in rows}
