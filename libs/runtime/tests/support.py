"""What several tests share: a bus without Kafka, background work for a while, a body in parts."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any
from uuid import UUID

from libs.events.registry import REGISTRY
from libs.events.transport import Assigned, BusError, Log, OpenSubscription, OutgoingMessage


class RecordingBus:
    """Stores what is published, and fails as it is told."""

    def __init__(self) -> None:
        self.messages: list[OutgoingMessage] = []
        self.refused: set[UUID] = set()
        self.down = False
        self.after_publish: BaseException | None = None
        self.ids: dict[str, UUID] = {}

    async def publish(self, messages: Sequence[OutgoingMessage]) -> Sequence[BaseException | None]:
        if self.down:
            raise BusError("down")
        outcomes: list[BaseException | None] = []
        held_up: set[bytes | None] = set()
        for message in messages:
            if REGISTRY.decode(message.value or b"").id in self.refused:
                held_up.add(message.key)
            outcomes.append(BusError("refused") if message.key in held_up else None)
            if message.key not in held_up:
                self.messages.append(message)
        if self.after_publish is not None:
            error, self.after_publish = self.after_publish, None
            raise error
        return outcomes

    async def subscribe(
        self, *, group: str, topics: Iterable[str], assigned: Assigned, pace_seconds: float = 0.0
    ) -> OpenSubscription:
        raise BusError("nothing to subscribe to")

    async def topic_ids(self, topics: Iterable[str]) -> Mapping[str, UUID]:
        return self.ids

    def log(self) -> AbstractAsyncContextManager[Log]:
        raise BusError("nothing is kept")

    async def close(self) -> None: ...


@asynccontextmanager
async def running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run background work as long as the block lasts."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def in_chunks(content: bytes, size: int) -> AsyncIterator[bytes]:
    """A body as it comes from elsewhere, piece by piece."""
    for position in range(0, len(content), size):
        yield content[position : position + size]
