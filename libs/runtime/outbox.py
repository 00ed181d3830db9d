"""The write side of the outbox: rows in the same transaction as the change they tell of."""

from collections.abc import Sequence
from uuid import UUID

import msgspec
from asyncpg import Connection, Record
from asyncpg.pool import PoolConnectionProxy
from msgspec import Struct

from libs.events.envelope import Event, encode
from libs.events.payload import Payload

APPEND = "SELECT append_to_outbox($1::uuid[], $2::text[], $3::bytea[], $4::jsonb[], $5::bytea[])"
EXTEND = "SELECT extend_outbox()"

RELAY_CHANNEL = "relay"


class OutboxRow(Struct, frozen=True, kw_only=True):
    """One message to be published, in the order of the rows of its key."""

    event_id: UUID | None
    topic: str
    key: bytes | None
    encoded: bytes | None
    headers: dict[str, str] | None = None


def row_of(event: Event[Payload]) -> OutboxRow:
    """The row that publishes an event.

    Raises:
        EventTooLargeError: no topic would take it.
    """
    return OutboxRow(
        event_id=event.id,
        topic=event.data.topic.value,
        key=event.key.encode(),
        encoded=encode(event),
    )


async def append(
    connection: "Connection[Record] | PoolConnectionProxy[Record]", rows: Sequence[OutboxRow]
) -> None:
    """Write rows, in one statement; call it last, since it takes the locks of the rows' keys."""
    await connection.execute(APPEND, *columns(rows))


def columns(rows: Sequence[OutboxRow]) -> tuple[list[object], ...]:
    """The arguments of `append_to_outbox`."""
    return (
        [row.event_id for row in rows],
        [row.topic for row in rows],
        [row.key for row in rows],
        [
            None if row.headers is None else msgspec.json.encode(row.headers).decode()
            for row in rows
        ],
        [row.encoded for row in rows],
    )
