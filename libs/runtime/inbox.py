"""The first step of a consumer's batch: its position moves, its events are marked as handled."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from msgspec import Struct

from libs.events.transport import Partition
from libs.runtime.db import Transaction
from libs.runtime.positions import FencedError, columns

ENTER = """
    SELECT moved, fresh, blocked
      FROM enter_batch($1, $2::text[], $3::uuid[], $4::integer[], $5::bigint[], $6::bigint[],
                       $7::uuid[], $8::text[])
"""


class Entered(Struct, frozen=True, kw_only=True):
    """What a batch has to know before it is applied."""

    fresh: frozenset[UUID] | None  # events never handled before; None: all, and none is there twice
    blocked: frozenset[str]  # order keys with an open parked row

    def is_fresh(self, event_id: UUID) -> bool:
        """Whether an event of the batch was never handled before."""
        return self.fresh is None or event_id in self.fresh


async def enter(
    transaction: Transaction,
    consumer: str,
    *,
    expected: Mapping[Partition, int],
    following: Mapping[Partition, int],
    event_ids: Sequence[UUID],
    order_keys: Sequence[str],
) -> Entered:
    """Move positions from `expected` to `following`, locked until the commit; record event ids.

    Raises:
        FencedError: a position is not where it was expected.
    """
    partitions = sorted(following)
    row = await transaction.connection.fetchrow(
        ENTER,
        consumer,
        *columns(partitions),
        [expected[each] for each in partitions],
        [following[each] for each in partitions],
        event_ids,
        order_keys,
    )
    if row is None or row["moved"] != len(partitions):
        raise FencedError(f"a position of {consumer} was moved by another consumer")
    fresh = row["fresh"]
    return Entered(
        fresh=None if fresh is None else frozenset(fresh), blocked=frozenset(row["blocked"] or ())
    )
