"""What becomes of requests that come together: in one statement if it can be, else under locks."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, TypeAlias
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from libs.events.generation import GenerationRequested, RequestFacts
from libs.runtime.clock import Clock
from libs.runtime.db import Database, DatabaseUnavailable, Transaction
from libs.runtime.errors import DomainError
from libs.runtime.faults import is_deterministic
from services.gateway.domain.admission import (
    Admitted,
    Counter,
    Decision,
    NotPriced,
    Repeated,
    Request,
    Standing,
    plain_offers,
)
from services.gateway.domain.jobs import Status
from services.gateway.domain.limits import Allowance, Kind, Policy, Subject
from services.gateway.handlers.errors import refusal_of
from services.gateway.handlers.last_terms import LastTerms
from services.gateway.store import admission as store
from services.gateway.store import inputs, limits
from services.gateway.store.admission import Left, Locking, Scene, Written
from services.gateway.store.limits import Row

TRIES_MAX: Final = 5  # to write what was decided under locks: a ban or a new book may come first


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


class Waiting(Struct, kw_only=True):
    """A request, and whoever waits for its outcome."""

    request: Request
    traceparent: str | None
    outcome: "asyncio.Future[Accepted]"
    lost: Exception | None = None  # with the connection that may have admitted it
    tries: int = 0  # to write what was decided

    @property
    def account_id(self) -> UUID:
        return self.request.payer.account_id

    def end(self, outcome: Accepted | Exception) -> None:
        """Answer whoever waits, if they do still."""
        if self.outcome.done():
            return
        if isinstance(outcome, DatabaseUnavailable):  # which says that nothing was accepted
            outcome = self.lost or outcome
        if isinstance(outcome, Exception):
            self.outcome.set_exception(outcome)
        else:
            self.outcome.set_result(outcome)


Outcomes: TypeAlias = dict[UUID, Accepted | Exception]


class _NotAsItStandsError(Exception):
    """What was to be admitted was not: something else has come first, or speaks against it."""


class Decisions:
    """Decides requests, and writes those that are admitted."""

    def __init__(
        self,
        *,
        database: Database,
        defaults: Mapping[Kind, Policy],
        deadline: timedelta,
        clock: Clock,
    ) -> None:
        self._database = database
        self._last_terms = LastTerms(clock)
        self._defaults = defaults
        self._deadline = deadline

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

    async def at_once(self, batch: Sequence[Waiting]) -> Outcomes | None:
        """Admit requests as they stand. None: one of them is not, and nothing was written."""
        terms = self._last_terms.terms()
        if terms is None:
            return None
        offers = plain_offers([each.request for each in batch], terms.book)
        if offers is None:
            return None
        try:
            async with self._database.statement() as transaction:
                written = [
                    self._announced(transaction, waiting, offer, terms.now)
                    for waiting, offer in zip(batch, offers, strict=True)
                ]
                left = await self._write(transaction, written)
        except _NotAsItStandsError:
            return None
        except Exception as error:
            if isinstance(error, DomainError) or is_deterministic(error):
                raise
            for waiting in batch:
                waiting.lost = error
            return None
        self._last_terms.hear(left.at, terms.book)
        allowances = {row.subject: row.allowance(self._defaults, terms.now) for row in left.rows}
        return {
            waiting.request.job_id: _accepted(waiting.request, offer, allowances, terms.now)
            for waiting, offer in zip(batch, offers, strict=True)
        }

    async def under_locks(self, batch: Sequence[Waiting], locking: Locking) -> Outcomes:
        """Decide each and write; of a request whose account is locked elsewhere, no outcome."""
        try:
            async with self._database.transaction() as transaction:
                connection = transaction.connection
                scene = await store.look(connection, [each.request for each in batch], locking)
                ready = [
                    (waiting, standing)
                    for waiting, standing in zip(batch, scene.standings, strict=True)
                    if waiting.request.job_id not in scene.busy
                ]
                outcomes = await self._settle(transaction, scene, ready) if ready else {}
        except _NotAsItStandsError:
            for waiting in batch:
                waiting.tries += 1
            if max(waiting.tries for waiting in batch) > TRIES_MAX:
                raise
            return {}
        self._last_terms.hear(scene.now, scene.book)
        return outcomes

    async def _settle(
        self,
        transaction: Transaction,
        scene: Scene,
        ready: Sequence[tuple[Waiting, Standing | None]],
    ) -> Outcomes:
        counter = self._counter(scene, scene.allowances)
        outcomes: Outcomes = {}
        written: list[Written] = []
        # Under the locks it is certain what has become of what may have been admitted before.
        lost = [each.request.job_id for each, _ in ready if each.lost is not None]
        there = await store.statuses(transaction.connection, lost) if lost else ()
        repeats = {job_id: job_id for job_id in there}
        for waiting, standing in ready:
            request = waiting.request
            if request.job_id in repeats:
                continue
            decision = counter.decide(request, standing)
            match decision:
                case Admitted():
                    written.append(self._announced(transaction, waiting, decision, counter.now))
                    outcomes[request.job_id] = Accepted(
                        job_id=request.job_id,
                        status=Status.PENDING,
                        admitted=decision,
                        at=counter.now,
                    )
                case Repeated(job_id):
                    repeats[request.job_id] = job_id
                case _:
                    outcomes[request.job_id] = refusal_of(decision, counter.now)
        if written:
            await inputs.refer(transaction.connection, [each.facts for each in written])
            await self._write(transaction, written)
        if repeats:
            found = await store.statuses(transaction.connection, list(repeats.values()))
            for asked, job_id in repeats.items():
                status = found.get(job_id, Status.PENDING)
                outcomes[asked] = Accepted(job_id=job_id, status=status)
        return outcomes

    async def _write(self, transaction: Transaction, written: Sequence[Written]) -> Left:
        left = await store.admit(
            transaction.connection, written, transaction.take_outbox(), self._defaults
        )
        if left is None:
            raise _NotAsItStandsError
        return left

    def _announced(
        self, transaction: Transaction, waiting: Waiting, admitted: Admitted, at: datetime
    ) -> Written:
        """A request as it is kept, and its event on the way out."""
        written = self._written(waiting.request, admitted, at)
        # The job's id correlates everything that it causes: from one follows the other.
        transaction.publish(
            GenerationRequested(
                job_id=written.facts.job_id,
                account_id=written.facts.account_id,
                request=written.facts,
            ),
            correlation_id=written.facts.job_id,
            traceparent=waiting.traceparent,
        )
        return written

    def _counter(self, scene: Scene, rows: Sequence[Row]) -> Counter:
        allowances = [row.allowance(self._defaults, scene.now) for row in rows]
        return Counter(now=scene.now, book=scene.book, allowances=allowances)

    def _written(self, request: Request, admitted: Admitted, at: datetime) -> Written:
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
            requested_at=at,
            deadline_at=at + order.patience(self._deadline),
        )
        return Written(request=request, facts=facts, tokens=admitted.tokens)


def _accepted(
    request: Request, offer: Admitted, allowances: Mapping[Subject, Allowance], at: datetime
) -> Accepted:
    left = tuple(allowances[subject] for subject in request.subjects)
    admitted = replace(offer, allowances=left)
    return Accepted(job_id=request.job_id, status=Status.PENDING, admitted=admitted, at=at)
