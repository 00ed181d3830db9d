"""Generations: admission of a request, its job, and the wait for the job's end."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from msgspec import Struct

from libs.events.generation import GenerationCancelRequested
from libs.runtime.clock import Clock
from libs.runtime.db import Database, DatabaseUnavailable
from libs.runtime.errors import DomainError
from libs.runtime.ids import Ids
from libs.runtime.paging import Position
from libs.runtime.wakeups import Wakeups
from services.gateway.domain.admission import (
    Admitted,
    KeyReused,
    NotKnown,
    NotPriced,
    Payer,
    PriceChanged,
    Repeated,
    Request,
)
from services.gateway.domain.jobs import Status
from services.gateway.domain.limits import Allowance
from services.gateway.domain.orders import Order
from services.gateway.handlers.admissions import Admissions
from services.gateway.handlers.decisions import Accepted, Decisions
from services.gateway.handlers.errors import (
    JobNotFound,
    StillRunning,
    UnknownUser,
    failure_of,
    refusal_of,
)
from services.gateway.handlers.streams import SAFETY_SECONDS
from services.gateway.store import jobs
from services.gateway.store.feed import FEED_CHANNEL
from services.gateway.store.jobs import OwnJob

OUTAGE_SECONDS: Final = 0.5  # between two looks while the database is away


class Quote(Struct, frozen=True, kw_only=True):
    """What a request would cost at one instant; without a refusal it would be admitted."""

    offer: Admitted
    refusal: DomainError | None
    available: int
    allowances: Sequence[Allowance]
    at: datetime


class Generations:
    """Admits generations and follows them."""

    def __init__(
        self,
        *,
        database: Database,
        ids: Ids,
        clock: Clock,
        wakeups: Wakeups,
        decisions: Decisions,
    ) -> None:
        self._database = database
        self._ids = ids
        self._clock = clock
        self._wakeups = wakeups
        self._decisions = decisions
        self._admissions = Admissions(decisions)

    async def submit(
        self,
        payer: Payer,
        order: Order,
        *,
        route: str,
        key: str | None,
        book_version: int | None = None,
    ) -> Accepted:
        """Admit an order, or join the job of the same request.

        Raises:
            DomainError: it is refused, and nothing of it is kept.
        """
        request = self._request(payer, order, route=route, key=key, book_version=book_version)
        return await self._admissions.admit(request)

    async def check(self, payer: Payer, order: Order, *, route: str, key: str | None) -> None:
        """Whether an order would be admitted now, before its pictures are stored.

        Raises:
            DomainError: it would be refused; of a repeat that is told once its pictures are known.
        """
        request = self._request(payer, order, route=route, key=key, book_version=None)
        view = await self._decisions.look(request)
        if not isinstance(view.decision, Admitted | Repeated | KeyReused | PriceChanged):
            raise refusal_of(view.decision, view.at)

    async def quote(self, payer: Payer, order: Order, *, book_version: int | None) -> Quote:
        """What an order would cost, and whether it would be admitted. Nothing is changed.

        Raises:
            DomainError: nobody can say what it costs, or who asks is nobody.
        """
        request = self._request(payer, order, route="", key=None, book_version=book_version)
        view = await self._decisions.look(request)
        if isinstance(view.decision, NotKnown) or view.standing is None:
            raise UnknownUser
        if isinstance(view.offer, NotPriced):
            raise refusal_of(view.offer, view.at)
        is_admitted = isinstance(view.decision, Admitted)
        return Quote(
            offer=view.offer,
            refusal=None if is_admitted else refusal_of(view.decision, view.at),
            available=view.standing.account.available,
            allowances=view.allowances,
            at=view.at,
        )

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

    async def list(
        self,
        user_id: UUID,
        *,
        after: Position,
        operations: Sequence[str] | None,
        status: Status | None,
        limit: int,
    ) -> Sequence[OwnJob]:
        """A user's jobs behind a position, the newest first."""
        async with self._database.read() as connection:
            return await jobs.list_own_jobs(
                connection,
                user_id,
                after=after,
                operations=operations,
                status=status,
                limit=limit,
            )

    async def cancel(self, job_id: UUID, user_id: UUID) -> OwnJob:
        """Ask for a job's end, once. Generation decides it: who asks too late is charged.

        Raises:
            JobNotFound: there is none, or it is somebody else's.
        """
        async with self._database.transaction() as transaction:
            found = await jobs.lock_own_job(transaction.connection, job_id, user_id)
            if found is None:
                raise JobNotFound
            account_id, job = found
            is_open = not job.state.is_final and job.state.answer is None
            if is_open and await jobs.note_cancellation(
                transaction.connection, job_id, self._clock.now()
            ):
                transaction.publish(
                    GenerationCancelRequested(
                        job_id=job_id, account_id=account_id, user_id=user_id
                    ),
                    correlation_id=job_id,
                )
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
            raise failure_of(job_id, job.provider, job.state.answer)
        return job

    async def _look(self, job_id: UUID, user_id: UUID) -> OwnJob | None:
        """A job, or nothing in an outage: told of that, a client would buy again what it has."""
        try:
            return await self.find(job_id, user_id)
        except DatabaseUnavailable:
            return None

    def _request(
        self, payer: Payer, order: Order, *, route: str, key: str | None, book_version: int | None
    ) -> Request:
        return Request(
            job_id=self._ids.new(),
            payer=payer,
            order=order,
            fingerprint=order.fingerprint(),
            route=route,
            key=key,
            book_version=book_version,
        )
