"""How far a consumer has read, kept beside what it has written: both move in one transaction."""

from collections.abc import Sequence

from libs.events.transport import Partition
from libs.runtime.db import Connection

OPEN = """
    INSERT INTO position (consumer, topic, topic_id, partition, next_offset)
    SELECT $1, topic, topic_id, partition, 0
      FROM unnest($2::text[], $3::uuid[], $4::integer[]) AS row (topic, topic_id, partition)
    ON CONFLICT DO NOTHING
"""
LOAD = """
    SELECT topic, topic_id, partition, next_offset
      FROM position
      JOIN unnest($2::text[], $3::uuid[], $4::integer[]) AS row (topic, topic_id, partition)
     USING (topic, topic_id, partition)
     WHERE consumer = $1
"""


class FencedError(Exception):
    """Another consumer of the group has moved a position: what was fetched is not ours to write."""


async def load(
    connection: Connection, consumer: str, partitions: Sequence[Partition]
) -> dict[Partition, int]:
    """The next offset of each partition; a partition never read before starts at 0."""
    keys = columns(partitions)
    await connection.execute(OPEN, consumer, *keys)
    rows = await connection.fetch(LOAD, consumer, *keys)
    return {
        Partition(row["topic"], row["topic_id"], row["partition"]): row["next_offset"]
        for row in rows
    }


def columns(partitions: Sequence[Partition]) -> tuple[list[object], ...]:
    """Partitions as the columns of an `unnest`."""
    return (
        [each.topic for each in partitions],
        [each.topic_id for each in partitions],
        [each.partition for each in partitions],
    )
