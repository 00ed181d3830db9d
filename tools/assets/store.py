"""Whose objects are whose, over the tables of all services: for whoever may read all of them."""

from collections.abc import AsyncIterator, Sequence
from typing import Final, TypeAlias
from uuid import UUID

import asyncpg
from msgspec import Struct

ATTEMPTS: Final = "attempts/"
PREFIXES: Final = (ATTEMPTS, "inputs/", "profiles/", "thumbnails/", "uploads/")
"""What services store under; what lies elsewhere is not theirs."""
PAGE: Final = 500

# A job's objects are generation's until the gallery has answered for it.
HOLDERS: Final = """
    WITH listed AS (
        SELECT * FROM unnest($1::text[], $2::uuid[], $3::uuid[]) AS listed (key, job_id, attempt_id)
    )
    SELECT key, 'shown' AS holder FROM gallery.asset WHERE key = ANY($1)
    UNION ALL SELECT key, 'shown' FROM gallery.thumbnail WHERE key = ANY($1)
    UNION ALL SELECT object_key, 'under_way' FROM gallery.thumbnail_work WHERE object_key = ANY($1)
    UNION ALL SELECT key, 'under_way' FROM gallery.announced_object WHERE key = ANY($1)
    UNION ALL SELECT key, 'to_be_deleted' FROM gallery.doomed_object WHERE key = ANY($1)
    UNION ALL SELECT profile_image, 'shown' FROM gateway.users WHERE profile_image = ANY($1)
    UNION ALL SELECT key, 'to_be_deleted' FROM gateway.profile_object WHERE key = ANY($1)
    UNION ALL SELECT key, 'under_way' FROM gateway.job_input
                JOIN gateway.hold ON job_id = subject_id
               WHERE closed_at IS NULL AND key = ANY($1)
    UNION ALL SELECT key, 'under_way' FROM listed JOIN generation.job ON job.id = listed.job_id
               WHERE decided_at IS NULL OR (state = 'completed' AND NOT EXISTS (
                   SELECT FROM gallery.confirmation WHERE confirmation.job_id = listed.job_id))
    UNION ALL SELECT key, 'to_be_deleted' FROM listed JOIN generation.attempt ON id = attempt_id
               WHERE sweep_at IS NOT NULL
"""
# Whoever keeps no checksum has it in the key's last part.
REFERENCES: Final = """
    SELECT key, max(sha256) AS sha256 FROM (
        SELECT key, sha256 FROM gallery.asset WHERE key > $1
        UNION ALL SELECT key, sha256 FROM gallery.thumbnail WHERE key > $1
        UNION ALL SELECT profile_image, substring(profile_image FROM '([0-9a-f]{64})[.][a-z0-9]+$')
                    FROM gateway.users WHERE profile_image > $1 AND profile_image LIKE 'profiles/%'
        UNION ALL SELECT key, substring(key FROM '([0-9a-f]{64})[.][a-z0-9]+$')
                    FROM gateway.job_input JOIN gateway.hold ON job_id = subject_id
                   WHERE closed_at IS NULL AND key > $1
    ) AS reference
    GROUP BY key ORDER BY key LIMIT $2
"""
COUNT_REFERENCES: Final = """
    SELECT (SELECT count(*) FROM gallery.asset) + (SELECT count(*) FROM gallery.thumbnail)
"""
STILL_REFERENCED: Final = """
    SELECT EXISTS (SELECT FROM gallery.asset WHERE key = $1)
        OR EXISTS (SELECT FROM gallery.thumbnail WHERE key = $1)
        OR EXISTS (SELECT FROM gateway.users WHERE profile_image = $1)
        OR EXISTS (SELECT FROM gateway.job_input JOIN gateway.hold ON job_id = subject_id
                    WHERE closed_at IS NULL AND key = $1)
"""

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class Reference(Struct, frozen=True):
    """An object that some table names, and what it must hold; of few no checksum is known."""

    key: str
    sha256: str | None


async def holders(connection: Connection, keys: Sequence[str]) -> dict[str, str]:
    """For what some objects are kept; those that nobody needs are absent."""
    ids = [_job_and_attempt(key) for key in keys]
    rows = await connection.fetch(
        HOLDERS, keys, [job_id for job_id, _ in ids], [attempt_id for _, attempt_id in ids]
    )
    found: dict[str, str] = {}
    for row in rows:
        # What a picture shows stays, whoever else has a plan for it.
        if row["holder"] == "shown" or row["key"] not in found:
            found[row["key"]] = row["holder"]
    return found


async def references(connection: Connection) -> AsyncIterator[list[Reference]]:
    """Every object that must be there, by pages in the order of their keys."""
    after = ""
    while rows := await connection.fetch(REFERENCES, after, PAGE):
        yield [Reference(row["key"], row["sha256"]) for row in rows]
        after = rows[-1]["key"]


async def count_references(connection: Connection) -> int:
    """About how many that will be: for whoever waits."""
    return int(await connection.fetchval(COUNT_REFERENCES))


async def is_referenced(connection: Connection, key: str) -> bool:
    """Whether an object must be there at this moment."""
    return bool(await connection.fetchval(STILL_REFERENCED, key))


def _job_and_attempt(key: str) -> tuple[UUID | None, UUID | None]:
    """Whose attempt has stored an object; nobody's where the key does not say."""
    if not key.startswith(ATTEMPTS):
        return None, None
    try:
        _, job_id, attempt_id, *_ = key.split("/")
        return UUID(job_id), UUID(attempt_id)
    except ValueError:
        return None, None
