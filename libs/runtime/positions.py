"""How far a consumer has read, kept beside what it has written: both move in one transaction."""

from collections.abc import Mapping, Sequence

from libs.events.transport import Partition
from libs.runtime.db import Connection, Transaction

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
ADVANCE = """
    UPDATE position SET next_offset = row.next_offset
      FROM unnest($2::text[], $3::uuid[], $4::integer[], $5::bigint[], $6::bigint[])
           AS row (topic, topic_id, partition, expected, next_offset)
     WHERE consumer = $1 AND position.topic = row.topic AND position.topic_id = row.topic_id
       AND position.partition = row.partition AND position.next_offset = row.expected
"""


class FencedError(Exception):
    """Another consumer of the group has moved a position: what was fetched is not ours to write."""


async def load(
    connection: Connection, consumer: str, partitions: Sequence[Partition]
) -> dict[Partition, int]:
    """The next offset of each partition; a partition never read before starts at 0."""
    columns = _columns(partitions)
    await connection.execute(OPEN, consumer, *columns)
    rows = await connection.fetch(LOAD, consumer, *columns)
    return {
        Partition(row["topic"], row["topic_id"], row["partition"]): row["next_offset"]
        for row in rows
    }


async def advance(
    transaction: Transaction,
    consumer: str,
    expected: Mapping[Partition, int],
    following: Mapping[Partition, int],
) -> None:
    """Move positions from `expected` to `following`, and lock them until the commit.

    Raises:
        FencedError: a position is not where it was expected.
    """
    partitions = sorted(following)
    status = await transaction.connection.execute(
        ADVANCE,
        consumer,
        *_columns(partitions),
        [expected[each] for each in partitions],
        [following[each] for each in partitions],
    )
    if int(status.split()[-1]) != len(partitions):
        raise FencedError(f"a position of {consumer} was moved by another consumer")


def _columns(partitions: Sequence[Partition]) -> tuple[list[object], ...]:
    return (
        [each.topic for each in partitions],
        [each.topic_id for each in partitions],
        [each.partition for each in partitions],
    )
