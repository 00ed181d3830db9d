"""Tells displays that a job takes a while: a passing signal, published past the outbox."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from libs.events.envelope import encode
from libs.events.generation import GenerationStarted
from libs.events.transport import Bus, BusError, OutgoingMessage
from libs.runtime.clock import Clock
from libs.runtime.emitter import Emitter
from services.generation.domain.jobs import Claim

AFTER_SECONDS = 1.0  # displays take one signal a second: a job done sooner needs none
PUBLISH_SECONDS_MAX = 5.0

logger = structlog.get_logger(__name__)


class Progress:
    """Publishes beside the work; with the bus away, signals are dropped and jobs go on."""

    def __init__(self, bus: Bus, emitter: Emitter, clock: Clock) -> None:
        self._bus = bus
        self._emitter = emitter
        self._clock = clock
        self._pending: set[asyncio.Task[None]] = set()

    @contextmanager
    def of(self, claim: Claim) -> Iterator[None]:
        """While this lasts an attempt runs; displays are told so if it lasts."""
        task = asyncio.create_task(self._tell(claim), name="progress")
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)
        try:
            yield
        finally:
            task.cancel()

    async def _tell(self, claim: Claim) -> None:
        await self._clock.sleep(AFTER_SECONDS)
        data = GenerationStarted(
            job_id=claim.job_id, account_id=claim.request.account_id, attempt=claim.tries
        )
        event = self._emitter.event(data, cause=claim.requested)
        message = OutgoingMessage(data.topic.value, event.key.encode(), encode(event))
        try:
            async with asyncio.timeout(PUBLISH_SECONDS_MAX):
                (error,) = await self._bus.publish([message])
        except (BusError, TimeoutError) as failure:
            error = failure
        if error is not None:
            logger.info("progress_dropped", error=repr(error))

    async def close(self) -> None:
        """Drop what is still on its way."""
        for task in self._pending:
            task.cancel()
        await asyncio.gather(*self._pending, return_exceptions=True)
