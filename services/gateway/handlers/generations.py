"""Generations: admission of a request, its job, and the wait for the job's end."""

from datetime import timedelta
from typing import Final
from uuid import UUID

from msgspec import Struct

from libs.events.generation import GenerationRequested, RequestFacts
from libs.runtime.clock import Clock
from libs.runtime.db import Database, DatabaseUnavailable, Transaction
from libs.runtime.ids import Ids
from libs.runtime.tracing import current_traceparent
from libs.runtime.wakeups import Wakeups
from services.gateway.domain.admission import Admitted, Repeated, Terms, decide
from services.gateway.domain.jobs import Status
from services.gateway.domain.limits import Limit
from services.gateway.domain.orders import Order
from services.gateway.handlers.errors import (
    JobNotFound,
    StillRunning,
    UnknownUser,
    failure_of,
    refusal_of,
)
from services.gateway.handlers.streams import SAFETY_SECONDS
from services.gateway.store import admission as store
from services.gateway.store import jobs
from services.gateway.store.admission import Claim
from services.gateway.store.feed import FEED_CHANNEL
from services.gateway.store.jobs import OwnJob

OUTAGE_SECONDS: Final = 0.5  # between two looks while the database is away


class Payer(Struct, frozen=True, kw_only=True):
    """Who acts, and whose credits pay."""

    user_id: UUID
    account_id: UUID


class Accepted(Struct, frozen=True, kw_only=True):
    """A job that will end, one way or another."""

    job_id: UUID
    status: Status


class Generations:
    """Admits generations and follows them."""

    def __init__(
        self,
        *,
        database: Database,
        ids: Ids,
        clock: Clock,
        wakeups: Wakeups,
        limit: Limit,
        deadline: timedelta,
    ) -> None:
        self._database = database
        self._ids = ids
        self._clock = clock
        self._wakeups = wakeups
        self._limit = limit
        self._deadline = deadline

    async def submit(self, payer: Payer, order: Order, *, route: str, key: str | None) -> Accepted:
        """Admit an order, or join the job of the same request.

        Raises:
            UnknownUser, UserBanned, IdempotencyKeyReused, InsufficientCredits, RateLimited: it is
                refused, and nothing of it is kept.
        """
        claim = Claim(route=route, key=key, fingerprint=order.fingerprint())
        async with self._database.transaction() as transaction:
            terms = await store.admission_terms(
                transaction.connection,
                account_id=payer.account_id,
                user_id=payer.user_id,
                claim=claim,
            )
            if terms is None:
                raise UnknownUser
            decision = decide(order, claim.fingerprint, terms, self._limit)
            match decision:
                case Repeated(job_id):
                    state = await jobs.find_state(transaction.connection, job_id)
                    return Accepted(job_id=job_id, status=state.status if state else Status.PENDING)
                case Admitted():
                    facts = self._facts(payer, order, decision, terms)
                    await self._write(transaction, facts, claim, decision)
                    return Accepted(job_id=facts.job_id, status=Status.PENDING)
                case _:
                    raise refusal_of(decision)

    async def find(self, job_id: UUID, user_id: UUID) -> OwnJob:
        """A user's job.

        Raises:
            JobNotFound: there is none, or it is somebody else's.
        """
        async with self._database.read() as connection:
            job = await jobs.find_own_job(connection, job_id, user_id)
        if job is None:
            raise JobNotFound
        return job

    async def completed(self, job_id: UUID, user_id: UUID, *, patience: timedelta) -> OwnJob:
        """A user's job once it is completed.

        Raises:
            StillRunning: it was not in this time, and goes on.
            DomainError: it failed or was cancelled.
        """
        end = self._clock.monotonic() + patience.total_seconds()
        with self._wakeups.listen(FEED_CHANNEL, str(user_id)) as wakeup:
            while (job := await self._look(job_id, user_id)) is None or not job.state.is_final:
                remaining_seconds = end - self._clock.monotonic()
                if remaining_seconds <= 0:
                    raise StillRunning(job_id)
                await wakeup.wait(min(remaining_seconds, SAFETY_SECONDS if job else OUTAGE_SECONDS))
        if job.state.status is not Status.COMPLETED and job.state.answer is not None:
            raise failure_of(job_id, job.state.answer)
        return job

    async def _look(self, job_id: UUID, user_id: UUID) -> OwnJob | None:
        """A job, or nothing in an outage: told of that, a client would buy again what it has."""
        try:
            return await self.find(job_id, user_id)
        except DatabaseUnavailable:
            return None

    def _facts(self, payer: Payer, order: Order, admitted: Admitted, terms: Terms) -> RequestFacts:
        return RequestFacts(
            job_id=self._ids.new(),
            account_id=payer.account_id,
            user_id=payer.user_id,
            operation=order.operation,
            provider=order.provider,
            model=order.model,
            prompt=order.prompt,
            options=order.options,
            unit_credits=admitted.unit_credits,
            units=admitted.units,
            price_book_version=admitted.book_version,
            requested_at=terms.now,
            deadline_at=terms.now + self._deadline,
        )

    @staticmethod
    async def _write(
        transaction: Transaction, facts: RequestFacts, claim: Claim, admitted: Admitted
    ) -> None:
        await store.write_admission(
            transaction.connection,
            facts,
            claim=claim,
            limit_drained_at=admitted.limit_drained_at,
        )
        # The job's id correlates everything that it causes: from one follows the other.
        transaction.publish(
            GenerationRequested(job_id=facts.job_id, account_id=facts.account_id, request=facts),
            correlation_id=facts.job_id,
            traceparent=current_traceparent(),
        )
