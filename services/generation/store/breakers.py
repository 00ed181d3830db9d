"""Statements about the circuit breakers, in the rows of the providers."""

from datetime import datetime

from libs.events.operations import Circuit
from libs.runtime.db import Connection
from services.generation.domain.breaker import Breaker

LOCK = """
    SELECT breaker, failures, openings, retry_at FROM provider WHERE name = $1 FOR NO KEY UPDATE
"""

SAVE = """
    UPDATE provider SET breaker = $2, failures = $3, openings = $4, retry_at = $5 WHERE name = $1
"""

HALF_OPEN = """
    UPDATE provider SET breaker = 'half_open', retry_at = NULL
      FROM (SELECT name FROM provider WHERE retry_at <= $1
             ORDER BY name FOR NO KEY UPDATE) AS rested
     WHERE provider.name = rested.name AND breaker = 'open'
    RETURNING provider.name, failures
"""

REST = "UPDATE provider SET rest_until = greatest(rest_until, $2) WHERE name = $1"

NEXT_RETRY = "SELECT min(retry_at) FROM provider"


async def lock(connection: Connection, provider: str) -> Breaker | None:
    """A provider's breaker, held until the transaction ends."""
    row = await connection.fetchrow(LOCK, provider)
    return None if row is None else Breaker(**{**row, "breaker": Circuit(row["breaker"])})


async def save(connection: Connection, provider: str, breaker: Breaker) -> None:
    """Its new state."""
    await connection.execute(
        SAVE, provider, breaker.breaker, breaker.failures, breaker.openings, breaker.retry_at
    )


async def half_open(connection: Connection, now: datetime) -> dict[str, int]:
    """Let one call through of each provider that has rested: name -> failures in a row."""
    rows = await connection.fetch(HALF_OPEN, now)
    return {row["name"]: row["failures"] for row in rows}


async def rest(connection: Connection, provider: str, until: datetime) -> None:
    """Leave a provider alone until then, breaker or not."""
    await connection.execute(REST, provider, until)


async def next_retry(connection: Connection) -> datetime | None:
    """When the next provider has rested."""
    due: datetime | None = await connection.fetchval(NEXT_RETRY)
    return due
