"""Tells displays that a job has started: a passing signal, published past the outbox."""

import asyncio

import structlog

from libs.events.envelope import encode
from libs.events.generation import GenerationStarted
from libs.events.transport import Bus, BusError, OutgoingMessage
from libs.runtime.emitter import Emitter
from services.generation.domain.jobs import Claim

PUBLISH_SECONDS_MAX = 5.0
PENDING_MAX = 100

logger = structlog.get_logger(__name__)


class Progress:
    """Publishes beside the work; with the bus away, signals are dropped and jobs go on."""

    def __init__(self, bus: Bus, emitter: Emitter) -> None:
        self._bus = bus
        self._emitter = emitter
        self._pending: set[asyncio.Task[None]] = set()

    def started(self, claim: Claim) -> None:
        """Say that an attempt has begun; returns at once."""
        if len(self._pending) >= PENDING_MAX:
            return
        data = GenerationStarted(
            job_id=claim.job_id, account_id=claim.request.account_id, attempt=claim.tries
        )
        event = self._emitter.event(data, cause=claim.requested)
        message = OutgoingMessage(data.topic.value, event.key.encode(), encode(event))
        task = asyncio.create_task(self._publish(message), name="progress")
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    async def _publish(self, message: OutgoingMessage) -> None:
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
