"""What the system asks of a message bus; `bus.py` answers with Kafka, a simulator otherwise."""

from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol
from uuid import UUID

from msgspec import Struct


class Partition(NamedTuple):
    """One ordered part of a topic. A topic that was made anew has another `topic_id`."""

    topic: str
    topic_id: UUID
    partition: int


class IncomingMessage(Struct, frozen=True, gc=False):
    """A message as read. A tombstone has no value."""

    partition: Partition
    offset: int
    key: bytes | None
    value: bytes | None


class OutgoingMessage(Struct, frozen=True, gc=False):
    """A message to publish; messages with one key go to one partition, in order."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class BusError(Exception):
    """The bus cannot do it now; later it may."""


class Subscription(Protocol):
    """A consumer group's member: partitions come and go, messages of each come in order."""

    async def fetch(self, *, records_max: int, timeout_seconds: float) -> Sequence[IncomingMessage]:
        """The next messages, as soon as there are any; none when the time is up.

        Raises:
            BusError: the bus cannot be reached, or a position is outside of its log.
        """

    def seek(self, partition: Partition, offset: int) -> None:
        """Read a partition from here on; what was fetched ahead is dropped."""

    async def report(self, next_offsets: Mapping[Partition, int]) -> None:
        """Tell the bus how far we are, for lag tools only: nothing is ever read from this."""


Assigned = Callable[[Mapping[Partition, range]], Awaitable[Mapping[Partition, int]]]
"""Given newly assigned partitions and the offsets that each log holds, answers where to start.

A partition that is left out of the answer is not read.
"""


class Log(Protocol):
    """History, as far as it is kept."""

    async def extents(self, topics: Collection[str]) -> Mapping[Partition, range]:
        """The offsets that each partition of the topics holds now.

        Raises:
            BusError: the bus cannot be reached, or has no such topic.
        """

    def read(
        self, partition: Partition, offsets: range, *, records_max: int
    ) -> AsyncIterator[Sequence[IncomingMessage]]:
        """The messages of a range of offsets in order; batches but the last are at least half full.

        Raises:
            BusError: the bus cannot be reached, or the log does not reach so far.
        """


class Bus(Protocol):
    """Topics to publish to and to subscribe to."""

    async def publish(self, messages: Sequence[OutgoingMessage]) -> Sequence[BaseException | None]:
        """Publish durably, in order per key; answers each message's error, None where it is stored.

        After a failed message, no later message of its partition in the same call is published.

        Raises:
            BusError: nothing was published.
        """

    async def subscribe(
        self, *, group: str, topics: Iterable[str], assigned: Assigned, pace_seconds: float = 0.0
    ) -> "OpenSubscription":
        """Join a consumer group.

        Between two fetches that brought something lies `pace_seconds` at least: what comes
        meanwhile, comes at once.

        Raises:
            BusError: the bus cannot be reached.
        """

    async def topic_ids(self, topics: Iterable[str]) -> Mapping[str, UUID]:
        """The id of each of these topics that exists.

        Raises:
            BusError: the bus cannot be reached.
        """

    def log(self) -> AbstractAsyncContextManager[Log]:
        """History, to be opened and read beside all groups.

        Raises:
            BusError: on entering, when the bus cannot be reached.
        """

    async def close(self) -> None:
        """Leave all groups and flush what is being published."""


class OpenSubscription(Subscription, Protocol):
    """A subscription, how far its logs reach, and the way to end it."""

    def known_ends(self) -> Mapping[Partition, int]:
        """Where each assigned log ended when it was last heard of; asks nobody."""

    async def ends(self) -> Mapping[Partition, int]:
        """Where each assigned log ends now, asked apart from what `fetch` hears.

        Raises:
            BusError: the bus cannot be reached.
        """

    async def close(self) -> None:
        """Leave the group."""
