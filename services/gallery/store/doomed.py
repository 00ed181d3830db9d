"""Objects that are to be deleted from storage: the gallery's work queue for it."""

from collections.abc import Sequence
from uuid import UUID

from libs.runtime.db import Connection

DOOM = """
    INSERT INTO doomed_object (key, told_by) SELECT unnest($1::text[]), $2 ON CONFLICT DO NOTHING
"""
# Whatever was decided: what a picture shows now is not deleted. And a deletion that the streams do
# not know would be undone by the loss of this database, with a picture whose object is gone.
LIST_DOOMED = """
    SELECT key FROM doomed_object
     WHERE NOT EXISTS (SELECT FROM asset WHERE asset.key = doomed_object.key)
       AND NOT EXISTS (SELECT FROM thumbnail WHERE thumbnail.key = doomed_object.key)
       AND NOT EXISTS (SELECT FROM outbox_pending JOIN outbox USING (order_number)
                        WHERE outbox.event_id = told_by)
     ORDER BY key LIMIT $1
"""
IS_UNTOLD = """
    SELECT EXISTS (SELECT FROM doomed_object JOIN outbox ON outbox.event_id = told_by
                     JOIN outbox_pending USING (order_number))
"""
REMOVE_DOOMED = "DELETE FROM doomed_object WHERE key = ANY($1::text[])"

DOOMED_CHANNEL = "doomed"
"""Wake-ups: there are objects to delete."""


async def doom(connection: Connection, keys: Sequence[str], *, told_by: UUID | None = None) -> None:
    """Have objects deleted, once the event of ours that says so is published."""
    await connection.execute(DOOM, keys, told_by)


async def list_doomed(connection: Connection, limit: int) -> list[str]:
    """Objects that are to be deleted."""
    return [row["key"] for row in await connection.fetch(LIST_DOOMED, limit)]


async def is_untold(connection: Connection) -> bool:
    """Whether objects stay only until an event of ours is published."""
    return bool(await connection.fetchval(IS_UNTOLD))


async def remove_doomed(connection: Connection, keys: Sequence[str]) -> None:
    """They are deleted."""
    await connection.execute(REMOVE_DOOMED, keys)
