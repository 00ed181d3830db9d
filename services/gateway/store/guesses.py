"""Statements about attempts: buckets locked in one order, so that replicas count together."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from libs.runtime.db import Connection

# What others hold is somebody's business just now, and left to them.
REMOVE_EMPTY = """
    DELETE FROM guess WHERE subject IN (
           SELECT subject FROM guess WHERE drained_at < now() ORDER BY drained_at LIMIT 100
              FOR UPDATE SKIP LOCKED)
"""
LOCK = """
    INSERT INTO guess (subject, drained_at)
    SELECT subject, clock_timestamp() FROM unnest($1::bytea[]) AS subject ORDER BY subject
    ON CONFLICT (subject) DO UPDATE SET drained_at = guess.drained_at
    RETURNING subject, drained_at
"""
NOW = "SELECT clock_timestamp()"
WRITE = """
    UPDATE guess SET drained_at = new.drained_at
      FROM unnest($1::bytea[], $2::timestamptz[]) AS new (subject, drained_at)
     WHERE guess.subject = new.subject
"""
GIVE_BACK = """
    WITH mine AS (
        SELECT guess.subject, taken.interval
          FROM guess JOIN unnest($1::bytea[], $2::interval[]) AS taken (subject, interval)
               ON guess.subject = taken.subject
         ORDER BY guess.subject FOR UPDATE OF guess
    )
    UPDATE guess SET drained_at = guess.drained_at - mine.interval
      FROM mine WHERE guess.subject = mine.subject
"""


async def lock(
    connection: Connection, subjects: Sequence[bytes]
) -> tuple[dict[bytes, datetime], datetime]:
    """Lock buckets, new ones empty; answers when each is drained, and the database's now."""
    await connection.execute(REMOVE_EMPTY)
    rows = await connection.fetch(LOCK, list(subjects))
    now: datetime = await connection.fetchval(NOW)
    return {row["subject"]: row["drained_at"] for row in rows}, now


async def write(connection: Connection, drained: Mapping[bytes, datetime]) -> None:
    """When each of these locked buckets is drained."""
    await connection.execute(WRITE, list(drained), list(drained.values()))


async def give_back(connection: Connection, taken: Mapping[bytes, timedelta]) -> None:
    """Take out of buckets what was put in."""
    await connection.execute(GIVE_BACK, list(taken), list(taken.values()))
