"""Admission of requests: those that come while others are being committed are decided together.

One transaction for many requests costs little more than one for one. Nothing waits for company: the
first request of a quiet moment is decided at once, and what comes meanwhile is the next batch. Each
request has its own outcome.
"""

import asyncio
from collections import deque
from collections.abc import Coroutine, Mapping, Sequence
from contextvars import Context
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias
from uuid import UUID

from msgspec import Struct

from libs.events.generation import GenerationRequested, RequestFacts
from libs.runtime.db import Database, Transaction
from libs.runtime.faults import is_deterministic
from libs.runtime.tracing import current_traceparent
from services.gateway.domain.admission import (
    Admitted,
    Counter,
    Decision,
    NotPriced,
    Repeated,
    Request,
    Standing,
)
from services.gateway.domain.jobs import Status
from services.gateway.domain.limits import Allowance, Kind, Policy
from services.gateway.handlers.errors import refusal_of
from services.gateway.store import admission as store
from services.gateway.store import limits
from services.gateway.store.admission import Locking, Scene, Written
from services.gateway.store.limits import Row

BATCH_MAX: Final = 128
# Accounts that somebody else has locked are waited for beside the others, on so many connections.
LANES_MAX: Final = 3


class Accepted(Struct, frozen=True, kw_only=True):
    """A job that will end, one way or another; a new one with what its admission took."""

    job_id: UUID
    status: Status
    admitted: Admitted | None = None
    at: datetime | None = None


class View(Struct, frozen=True, kw_only=True):
    """What would become of a request at one instant, and what its limits leave."""

    decision: Decision
    offer: Admitted | NotPriced
    standing: Standing | None
    allowances: Sequence[Allowance]
    at: datetime


class _Waiting(Struct, frozen=True, kw_only=True):
    request: Request
    traceparent: str | None
    outcome: "asyncio.Future[Accepted]"

    @property
    def account_id(self) -> UUID:
        return self.request.payer.account_id

    def end(self, outcome: Accepted | Exception) -> None:
        """Answer whoever waits, if they do still."""
        if self.outcome.done():
            return
        if isinstance(outcome, Exception):
            self.outcome.set_exception(outcome)
        else:
            self.outcome.set_result(outcome)


_Outcomes: TypeAlias = dict[UUID, Accepted | Exception]


class Admissions:
    """The one way in for everything that costs."""

    def __init__(
        self, *, database: Database, defaults: Mapping[Kind, Policy], deadline: timedelta
    ) -> None:
        self._database = database
        self._defaults = defaults
        self._deadline = deadline
        self._pending: deque[_Waiting] = deque()
        self._aside: dict[UUID, deque[_Waiting]] = {}
        self._lanes = asyncio.Semaphore(LANES_MAX)
        self._is_running = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def admit(self, request: Request) -> Accepted:
        """Admit a request, or join the job of the same request.

        Raises:
            DomainError: it is refused, and nothing of it is kept.
        """
        waiting = _Waiting(
            request=request,
            traceparent=current_traceparent(),
            outcome=asyncio.get_running_loop().create_future(),
        )
        self._pending.append(waiting)
        if not self._is_running:
            self._is_running = True
            self._start(self._work())
        return await waiting.outcome

    async def look(self, request: Request) -> View:
        """What would be decided now; nothing is changed or locked."""
        async with self._database.read() as connection:
            scene = await store.look(connection, [request], Locking.NONE)
            rows = await limits.find(connection, request.subjects)
        counter = self._counter(scene, rows)
        allowances = counter.allowances_of([request])
        standing = scene.standings[0]
        return View(
            decision=counter.decide(request, standing),
            offer=counter.offer(request.order),
            standing=standing,
            allowances=allowances,
            at=counter.now,
        )

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

    def _next_batch(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
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

    async def _decide(self, batch: Sequence[_Waiting], locking: Locking) -> None:
        try:
            outcomes = await self._transact(batch, locking)
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

    async def _transact(self, batch: Sequence[_Waiting], locking: Locking) -> _Outcomes:
        """Decide and write; of a request whose account is locked elsewhere, no outcome."""
        async with self._database.transaction() as transaction:
            connection = transaction.connection
            scene = await store.look(connection, [each.request for each in batch], locking)
            ready = [
                (waiting, standing)
                for waiting, standing in zip(batch, scene.standings, strict=True)
                if waiting.request.job_id not in scene.busy
            ]
            if not ready:
                return {}
            return await self._settle(transaction, scene, ready)

    async def _settle(
        self,
        transaction: Transaction,
        scene: Scene,
        ready: Sequence[tuple[_Waiting, Standing | None]],
    ) -> _Outcomes:
        counter = self._counter(scene, scene.allowances)
        outcomes: _Outcomes = {}
        written: list[Written] = []
        repeats: dict[UUID, UUID] = {}
        for waiting, standing in ready:
            request = waiting.request
            decision = counter.decide(request, standing)
            match decision:
                case Admitted():
                    each = self._written(request, decision, counter)
                    written.append(each)
                    outcomes[request.job_id] = Accepted(
                        job_id=request.job_id,
                        status=Status.PENDING,
                        admitted=decision,
                        at=counter.now,
                    )
                    # The job's id correlates everything that it causes: from one follows the other.
                    transaction.publish(
                        GenerationRequested(
                            job_id=request.job_id,
                            account_id=request.payer.account_id,
                            request=each.facts,
                        ),
                        correlation_id=request.job_id,
                        traceparent=waiting.traceparent,
                    )
                case Repeated(job_id):
                    repeats[request.job_id] = job_id
                case _:
                    outcomes[request.job_id] = refusal_of(decision, counter.now)
        if written:
            await store.write(transaction, written, counter)
        if repeats:
            found = await store.statuses(transaction.connection, list(repeats.values()))
            for asked, job_id in repeats.items():
                status = found.get(job_id, Status.PENDING)
                outcomes[asked] = Accepted(job_id=job_id, status=status)
        return outcomes

    def _counter(self, scene: Scene, rows: Sequence[Row]) -> Counter:
        allowances = [row.allowance(self._defaults, scene.now) for row in rows]
        return Counter(now=scene.now, book=scene.book, allowances=allowances)

    def _written(self, request: Request, admitted: Admitted, counter: Counter) -> Written:
        payer, order = request.payer, request.order
        facts = RequestFacts(
            job_id=request.job_id,
            account_id=payer.account_id,
            user_id=payer.user_id,
            workspace_id=payer.workspace_id,
            operation=order.operation,
            provider=order.provider,
            model=order.model,
            prompt=order.prompt,
            options=order.options,
            input_keys=tuple(each.key for each in order.inputs),
            unit_credits=admitted.unit_credits,
            units=admitted.units,
            price_book_version=admitted.book_version,
            requested_at=counter.now,
            deadline_at=counter.now + order.patience(self._deadline),
        )
        return Written(request=request, facts=facts, tokens=admitted.tokens)
