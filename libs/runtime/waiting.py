"""Events that arrived before what they need: they are applied right after it, in arrival order.

Waiter and releaser must hold the same row lock before they look (insert-or-ignore the needed row,
then FOR UPDATE), or one could slip in between the other's look and its commit.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from libs.events.envelope import Event, encode
from libs.events.payload import Payload
from libs.events.registry import REGISTRY
from libs.runtime.db import Transaction

PUT = """
    INSERT INTO waiting (needed_key, event_id, encoded, waiting_since)
    SELECT needed_key, event_id, encoded, $4
      FROM unnest($1::text[], $2::uuid[], $3::bytea[]) WITH ORDINALITY
           AS row (needed_key, event_id, encoded, place)
     ORDER BY place
    ON CONFLICT (event_id) DO NOTHING
"""
FIND = "SELECT encoded FROM waiting WHERE needed_key = $1 ORDER BY sequence"
TAKE = """
    WITH taken AS (
        DELETE FROM waiting WHERE needed_key = ANY($1::text[])
        RETURNING needed_key, sequence, encoded
    )
    SELECT needed_key, encoded FROM taken ORDER BY sequence
"""


async def put(
    transaction: Transaction, waiters: Iterable[tuple[str, Event[Payload]]], *, now: datetime
) -> None:
    """Keep (needed key, event) pairs until `take` is called for their keys."""
    rows = list(waiters)
    if rows:
        await transaction.connection.execute(
            PUT,
            [needed_key for needed_key, _ in rows],
            [event.id for _, event in rows],
            [encode(event) for _, event in rows],
            now,
        )


async def find(transaction: Transaction, needed_key: str) -> list[Event[Payload]]:
    """What waits for a key, in arrival order; it goes on waiting."""
    rows = await transaction.connection.fetch(FIND, needed_key)
    return [REGISTRY.decode(row["encoded"]) for row in rows]


async def take(
    transaction: Transaction, needed_keys: Sequence[str]
) -> list[tuple[str, Event[Payload]]]:
    """Remove and return what waits for these keys, as (needed key, event), in arrival order."""
    if not needed_keys:
        return []
    rows = await transaction.connection.fetch(TAKE, list(needed_keys))
    return [(row["needed_key"], REGISTRY.decode(row["encoded"])) for row in rows]
