"""Tells other programs of jobs: at least once, under the same id, by one process at a time.

What is due is taken for a lease, sent, and settled. A process that dies before that leaves it to
whoever looks after the lease has run out: so what had arrived in that very moment comes again, with
the same `webhook-id`, by which receivers know it.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final

import msgspec
import structlog

from libs.runtime.clock import Clock
from libs.runtime.db import Database
from services.gateway.domain.jobs import JobState
from services.gateway.domain.webhooks import DISABLED_AFTER, Outcome, Signer, delay_after
from services.gateway.ports import Call, Webhooks
from services.gateway.store import deliveries as store
from services.gateway.store import webhooks as endpoints
from services.gateway.store.deliveries import Due
from services.gateway.store.jobs import OwnJob

PARALLEL_MAX: Final = 32
PARALLEL_FAILING_MAX: Final = 16  # so that who does not answer holds nobody else up
LEASE: Final = timedelta(minutes=1)  # longer than a call may take
KEPT: Final = timedelta(days=30)
FORGOTTEN_AT_ONCE: Final = 500

logger = structlog.get_logger(__name__)

Shown = Callable[[OwnJob, JobState], Mapping[str, Any]]


class Deliveries:
    """Sends what is due. Every replica may do so at any time: rows say whose turn it is."""

    def __init__(
        self, *, database: Database, webhooks: Webhooks, shown: Shown, clock: Clock, random: Random
    ) -> None:
        """`shown`: a job as clients read it."""
        self._database = database
        self._webhooks = webhooks
        self._shown = shown
        self._clock = clock
        self._random = random
        self._under_way: set[asyncio.Task[None]] = set()

    async def next_at(self) -> datetime | None:
        """When something is due next."""
        async with self._database.read() as connection:
            return await store.next_at(connection)

    async def work(self) -> None:
        """Begin to send what is due, as far as there is room; else wait until there is."""
        room = PARALLEL_MAX - len(self._under_way)
        room_for_failing = max(0, PARALLEL_FAILING_MAX - len(self._under_way))
        taken = await self._take(room, room_for_failing) if room else ()
        for due in taken:
            task = asyncio.create_task(self._deliver(due))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        if not taken and not room_for_failing:
            await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)

    async def finish(self) -> None:
        """Wait for what is being sent."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    def stop(self) -> None:
        """Break off what is being sent: whoever comes next sends it again."""
        for task in self._under_way:
            task.cancel()

    async def _take(self, room: int, room_for_failing: int) -> Sequence[Due]:
        async with self._database.transaction() as transaction:
            connection, now = transaction.connection, self._clock.now()
            await store.forget(connection, now - KEPT, FORGOTTEN_AT_ONCE)
            return await store.take(
                connection, now, LEASE, most=room, most_failing=room_for_failing
            )

    async def _deliver(self, due: Due) -> None:
        try:
            outcome = await self._send(due)
            if outcome is not None:
                await self._settle(due, outcome)
        except Exception as error:  # noqa: BLE001  # its lease runs out, and it is due again
            logger.warning("webhook_waits", webhook_id=str(due.delivery_id), error=repr(error))

    async def _send(self, due: Due) -> Outcome | None:
        """How it went; None: it is for nobody any more."""
        async with self._database.read() as connection:
            endpoint = await endpoints.find(connection, due.endpoint_id)
            job = await store.find_job(connection, due.job_id)
        if endpoint is None or job is None:
            return None
        return await self._webhooks.send(self._call(due, job, endpoint.signer))

    def _call(self, due: Due, job: OwnJob, signer: Signer) -> Call:
        message = {
            "event": due.event,
            "timestamp": due.told_at,
            **self._shown(job, due.state),
        }
        body, now = msgspec.json.encode(message), self._clock.now()
        webhook_id = str(due.delivery_id)
        headers = {
            "webhook-id": webhook_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": signer.signatures(webhook_id, now, body),
        }
        return Call(url=due.url, headers=headers, body=body)

    async def _settle(self, due: Due, outcome: Outcome) -> None:
        now = self._clock.now()
        delay = None
        if not outcome.has_arrived:
            delay = delay_after(due.step, outcome, self._random.random())
        async with self._database.transaction() as transaction:
            connection = transaction.connection
            again_at = None if delay is None else now + delay
            if not await store.settle(connection, due, outcome, at=now, again_at=again_at):
                return  # it took longer than its lease: somebody else's word counts
            if outcome.has_arrived:
                await store.note_arrival(connection, due.endpoint_id)
                return
            since = await store.note_failure(connection, due.endpoint_id, now)
            is_over = outcome.is_unwanted or now - since >= DISABLED_AFTER
            if is_over and await store.disable(connection, due.endpoint_id, now):
                logger.warning("webhook_disabled", endpoint_id=str(due.endpoint_id))
