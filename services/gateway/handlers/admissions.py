"""Admission of requests: those that come while others are being committed are decided together.

One transaction for many requests costs little more than one for one. Nothing waits for company: the
first request of a quiet moment is decided at once, and what comes meanwhile is the next batch. Each
request has its own outcome.

Most requests can be admitted as they stand: they are written by one statement that looks itself
whether it is so. If it is not so for one of them, each is decided under the locks of its rows.
"""

import asyncio
from collections import deque
from collections.abc import Coroutine, Sequence
from contextvars import Context
from typing import Any, Final
from uuid import UUID

from libs.runtime.faults import is_deterministic
from libs.runtime.tracing import current_traceparent
from services.gateway.domain.admission import Request
from services.gateway.handlers.decisions import Accepted, Decisions, Waiting
from services.gateway.store.admission import Locking

BATCH_MAX: Final = 128
# Accounts that somebody else has locked are waited for beside the others, on so many connections.
LANES_MAX: Final = 3


class Admissions:
    """The one way in for everything that costs."""

    def __init__(self, decisions: Decisions) -> None:
        self._decisions = decisions
        self._pending: deque[Waiting] = deque()
        self._aside: dict[UUID, deque[Waiting]] = {}
        self._lanes = asyncio.Semaphore(LANES_MAX)
        self._is_running = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def admit(self, request: Request) -> Accepted:
        """Admit a request, or join the job of the same request.

        Raises:
            DomainError: it is refused, and nothing of it is kept.
        """
        waiting = Waiting(
            request=request,
            traceparent=current_traceparent(),
            outcome=asyncio.get_running_loop().create_future(),
        )
        self._pending.append(waiting)
        if not self._is_running:
            self._is_running = True
            self._start(self._work())
        return await waiting.outcome

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        # A context of its own: the work is everybody's, not that of the request that began it.
        task = asyncio.create_task(work, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self) -> None:
        try:
            while self._pending:
                batch = self._next_batch()
                if batch:
                    await self._decide(batch, Locking.SKIP)
        finally:
            self._is_running = False

    def _next_batch(self) -> list[Waiting]:
        batch: list[Waiting] = []
        while self._pending and len(batch) < BATCH_MAX:
            waiting = self._pending.popleft()
            if waiting.outcome.done():  # the client has gone: nothing was begun
                continue
            if waiting.account_id in self._aside:
                self._aside[waiting.account_id].append(waiting)  # behind those before it
            else:
                batch.append(waiting)
        return batch

    async def _work_aside(self, account_id: UUID) -> None:
        async with self._lanes:
            queue = self._aside[account_id]
            try:
                while queue:
                    batch = [queue.popleft() for _ in range(min(len(queue), BATCH_MAX))]
                    await self._decide(batch, Locking.WAIT)
            finally:
                del self._aside[account_id]

    async def _decide(self, batch: Sequence[Waiting], locking: Locking) -> None:
        try:
            outcomes = await self._decisions.at_once(batch) if locking is Locking.SKIP else None
            if outcomes is None:
                outcomes = await self._decisions.under_locks(batch, locking)
        except Exception as error:  # noqa: BLE001  # handed on to whoever waits
            if len(batch) > 1 and is_deterministic(error):
                for waiting in batch:  # one of them spoils it for all: each for itself
                    await self._decide([waiting], Locking.WAIT)
            else:
                for waiting in batch:
                    waiting.end(error)
            return
        for waiting in batch:
            outcome = outcomes.get(waiting.request.job_id)
            if outcome is not None:
                waiting.end(outcome)
            elif waiting.account_id in self._aside:
                self._aside[waiting.account_id].append(waiting)
            else:
                self._aside[waiting.account_id] = deque([waiting])
                self._start(self._work_aside(waiting.account_id))
