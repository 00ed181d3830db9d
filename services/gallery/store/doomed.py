"""Objects that are to be deleted from storage: the gallery's work queue for it."""

from collections.abc import Sequence

from libs.runtime.db import Connection

DOOM = "INSERT INTO doomed_object (key) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING"
# Whatever was decided: what a picture shows now is not deleted.
LIST_DOOMED = """
    SELECT key FROM doomed_object
     WHERE NOT EXISTS (SELECT FROM asset WHERE asset.key = doomed_object.key)
     ORDER BY key LIMIT $1
"""
REMOVE_DOOMED = "DELETE FROM doomed_object WHERE key = ANY($1::text[])"

DOOMED_CHANNEL = "doomed"
"""Wake-ups: there are objects to delete."""


async def doom(connection: Connection, keys: Sequence[str]) -> None:
    """Have objects deleted."""
    await connection.execute(DOOM, keys)


async def list_doomed(connection: Connection, limit: int) -> list[str]:
    """Objects that are to be deleted."""
    return [row["key"] for row in await connection.fetch(LIST_DOOMED, limit)]


async def remove_doomed(connection: Connection, keys: Sequence[str]) -> None:
    """They are deleted."""
    await connection.execute(REMOVE_DOOMED, keys)
