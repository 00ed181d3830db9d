"""Generation's own answers -> decided jobs: what a recovery does. It decides nothing."""

from collections.abc import Sequence
from datetime import timedelta

from libs.events.envelope import Event, encode
from libs.events.generation import (
    GenerationCompleted,
    GenerationFailed,
    GenerationRequested,
)
from libs.events.payload import Payload
from libs.runtime.db import Transaction
from services.generation.domain import fairness
from services.generation.domain.jobs import AttemptState, JobState
from services.generation.store import recovery
from services.generation.store.recovery import DecidedJob

NO_PROVIDER = ""  # of a job that was never read


async def remember(transaction: Transaction, events: Sequence[Event[Payload]]) -> None:
    """Write down how jobs have ended, so that a request which is read again does not run again."""
    jobs = [
        _decided(event, event.data)
        for event in events
        if isinstance(event.data, GenerationCompleted | GenerationFailed)
    ]
    first = {job.id: job for job in reversed(jobs)}
    await recovery.add_decided_jobs(transaction.connection, [first[each] for each in sorted(first)])


async def remember_requests(transaction: Transaction, events: Sequence[Event[Payload]]) -> None:
    """Keep the requests of decided jobs as they were published."""
    asked = [event for event in events if isinstance(event.data, GenerationRequested)]
    await recovery.keep_requests(
        transaction.connection,
        [event.data.job_id for event in asked if isinstance(event.data, GenerationRequested)],
        [encode(event) for event in asked],
    )


def _decided(event: Event[Payload], answer: GenerationCompleted | GenerationFailed) -> DecidedJob:
    """The row as near as the answer tells: of lost attempts nothing is known."""
    request, is_completed = answer.request, isinstance(answer, GenerationCompleted)
    upload_ms = answer.upload_ms if isinstance(answer, GenerationCompleted) else 0
    worked = timedelta(milliseconds=answer.provider_ms + upload_ms)
    started_at = event.time - worked if answer.attempt_id is not None else None
    queued_at = (started_at or event.time) - timedelta(milliseconds=answer.queued_ms)
    return DecidedJob(
        id=answer.job_id,
        account_id=answer.account_id,
        provider=request.provider if request else NO_PROVIDER,
        cost=fairness.cost(request.units) if request and started_at else 0,
        requested=b"",  # until the request is read, which no one asks a decided job for
        state=JobState.COMPLETED if is_completed else JobState.FAILED,
        attempt_id=answer.attempt_id,
        queued_at=queued_at,
        started_at=started_at,
        deadline_at=request.deadline_at if request else event.time,
        decided_at=event.time,
        failure_code=None if isinstance(answer, GenerationCompleted) else answer.code.value,
        attempt_state=AttemptState.WON if is_completed else AttemptState.FAILED,
        provider_ms=answer.provider_ms,
        provider_cost_microusd=answer.provider_cost_microusd,
    )
