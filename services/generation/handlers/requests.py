"""Requests and cancellations as they come: into the queue, and out of it."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from libs.events.envelope import Event, encode
from libs.events.generation import (
    AttemptOutcome,
    FailureCode,
    GenerationCancelRequested,
    GenerationRequested,
)
from libs.runtime.clock import Clock
from libs.runtime.db import Transaction
from libs.runtime.erasure import forget_encoded
from services.generation.domain import fairness
from services.generation.domain.capabilities import Capabilities, Failure, refusal
from services.generation.domain.jobs import (
    JobState,
    Spent,
    attempt_ended,
    failed,
    milliseconds,
)
from services.generation.ports import references_of
from services.generation.store import ends, queue, recovery
from services.generation.store.queue import NewJob

WORK_CHANNEL = "work"  # there may be something to take
DUE_CHANNEL = "due"  # something is due sooner than whoever waits for it may think
CANCEL_CHANNEL = "cancel"  # a provider's own job is to be called off

CANCELLED = Failure(code=FailureCode.CANCELLED, message="The generation was cancelled.")


class Requests:
    """What the gateway asks for."""

    def __init__(
        self,
        *,
        providers: Mapping[str, Capabilities],
        clock: Clock,
        lease: timedelta,
        sweep_delay: timedelta,
    ) -> None:
        self._providers = providers
        self._clock = clock
        self._lease = lease
        self._sweep_delay = sweep_delay

    async def enqueue(
        self,
        transaction: Transaction,
        events: Sequence[Event[GenerationRequested]],
        erased: Collection[UUID] = (),
    ) -> None:
        """Queue each job once; one that no provider can take is answered at once.

        So is one of an account that is erased: nobody waits for its pictures.
        """
        # A request may be repeated under a new event id, even side by side: the first one counts.
        events = list({event.data.job_id: event for event in reversed(events)}.values())[::-1]
        now = self._clock.now()
        refusals = {
            event.data.job_id: failure
            for event in events
            if (failure := refusal(self._providers, event.data.request)) is not None
        }
        refusals |= {
            event.data.job_id: CANCELLED for event in events if event.data.account_id in erased
        }
        accepted = [event for event in events if event.data.job_id not in refusals]
        rows = [_row(event, refusals.get(event.data.job_id), now) for event in events]
        new = await queue.enqueue(transaction.connection, rows)
        for event in events:
            failure = refusals.get(event.data.job_id)
            if failure is not None and event.data.job_id in new:
                transaction.publish(failed(event.data.request, failure), cause=event)
        if any(event.data.job_id in new for event in accepted):
            transaction.wake(WORK_CHANNEL)
        # Whoever waits for what is due looks again after a lease at the latest.
        if any(event.data.request.deadline_at <= now + self._lease for event in accepted):
            transaction.wake(DUE_CHANNEL)

    async def cancel(
        self, transaction: Transaction, events: Sequence[Event[GenerationCancelRequested]]
    ) -> None:
        """End the jobs that are not decided yet; for the others it is too late, which is fine."""
        await end_jobs(
            transaction,
            sorted({event.data.job_id for event in events}),
            CANCELLED,
            now=self._clock.now(),
            sweep_delay=self._sweep_delay,
        )

    async def forget(self, transaction: Transaction, account_ids: Sequence[UUID]) -> None:
        """Blank the requests of accounts that are erased, and end what they have under way.

        Answers repeat what stands in the row: from here on no word of the person leaves.
        """
        connection = transaction.connection
        undecided = await recovery.find_undecided(connection, account_ids)
        await ends.lock_shares_of_jobs(connection, undecided)  # before the jobs, as everybody does
        kept = await recovery.lock_requests(connection, account_ids)
        blank = [(job_id, forget_encoded(old, account_ids) or b"") for job_id, old in kept]
        if blank:
            await recovery.keep_requests(connection, *map(list, zip(*blank, strict=True)))
        await end_jobs(
            transaction,
            undecided,
            CANCELLED,
            now=self._clock.now(),
            sweep_delay=self._sweep_delay,
        )


async def end_jobs(
    transaction: Transaction,
    job_ids: Sequence[UUID],
    failure: Failure,
    *,
    now: datetime,
    sweep_delay: timedelta,
) -> list[UUID]:
    """Decide every one of these jobs that is undecided, and answer it; returns which those were."""
    if not job_ids:
        return []
    await ends.lock_shares_of_jobs(transaction.connection, job_ids)
    ended = await ends.end(
        transaction.connection, job_ids, failure.code, now=now, sweep_at=now + sweep_delay
    )
    for job in ended:
        if job.attempt_id is not None and job.stopped_since is not None:
            stopped = attempt_ended(
                job.requested.data.request,
                job.attempt_id,
                AttemptOutcome.STOPPED,
                started_at=job.stopped_since,
                spent=Spent(references=references_of(job.submission)),
            )
            transaction.publish(stopped, cause=job.requested)
        answer = failed(
            job.requested.data.request,
            failure,
            queued_ms=milliseconds(job.queued_at, job.started_at or now),
            attempt_id=job.attempt_id,
        )
        transaction.publish(answer, cause=job.requested)
    if ended:
        transaction.wake(WORK_CHANNEL)
        transaction.wake(CANCEL_CHANNEL)
    return [job.id for job in ended]


def _row(event: Event[GenerationRequested], failure: Failure | None, now: datetime) -> NewJob:
    request = event.data.request
    return NewJob(
        id=request.job_id,
        account_id=request.account_id,
        provider=request.provider,
        cost=fairness.cost(request.units) if failure is None else 0,
        requested=encode(event),
        state=JobState.QUEUED if failure is None else JobState.FAILED,
        queued_at=now,
        deadline_at=request.deadline_at,
        decided_at=None if failure is None else now,
        failure_code=None if failure is None else failure.code,
    )
