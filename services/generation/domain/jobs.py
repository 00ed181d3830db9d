"""Jobs and attempts: their states, the keys of what they store, and the one answer of each job.

    queued  -> running     a worker claims it
    running -> completed   its attempt won
    running -> failed      its attempt failed, and no other may follow
    running -> delayed     its attempt failed, and another may follow after a rest
    running -> queued      its lease is over, or its worker has handed it back
    delayed -> queued      it has rested
    queued, delayed, running -> failed   cancelled, or past its deadline

A running job has a fence, a number that grows with every attempt: who shows an older one has lost
the job and decides nothing.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from msgspec import Struct

from libs.events.envelope import Event
from libs.events.generation import (
    AttemptOutcome,
    CostSource,
    FailureCode,
    GenerationAttemptEnded,
    GenerationCompleted,
    GenerationFailed,
    GenerationRequested,
    RequestFacts,
    StoredImage,
)
from services.generation.domain.capabilities import Failure

OBJECT_PREFIX = "attempts/"
MILLISECOND = timedelta(milliseconds=1)
# A worker that stood still may wake after its attempt was swept, and store something more.
SECOND_SWEEP = timedelta(days=1)


class JobState(StrEnum):
    """Where a job stands; the last two are final."""

    QUEUED = "queued"
    DELAYED = "delayed"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


class AttemptState(StrEnum):
    """How an attempt ended: all but `won` leave objects behind that nobody refers to."""

    RUNNING = "running"
    WON = "won"
    FAILED = "failed"  # the provider, or our storage, said no
    UNKNOWN = "unknown"  # its worker was lost, and its outcome with it
    HANDED_BACK = "handed_back"  # its worker was told to stop
    STOPPED = "stopped"  # the job ended while it ran: cancelled, or past its deadline
    LATE = "late"  # it came to an end after another had taken its place


class Claim(Struct, frozen=True, kw_only=True):
    """A job that a worker has taken, with the fence that proves it."""

    job_id: UUID
    fence: int
    attempt_id: UUID
    tries: int
    queued_at: datetime
    started_at: datetime  # of the first attempt
    requested: Event[GenerationRequested]
    submission: bytes | None = None  # the provider's job of a lost attempt, to go on with

    @property
    def request(self) -> RequestFacts:
        return self.requested.data.request


class Spent(Struct, frozen=True, kw_only=True):
    """What an attempt took of its provider."""

    provider_ms: int = 0
    provider_cost_microusd: int = 0
    provider_cost_source: CostSource = CostSource.UNKNOWN
    references: tuple[str, ...] = ()  # what the provider calls its calls


class Delivery(Struct, frozen=True, kw_only=True):
    """What a provider delivered, as it lies in object storage."""

    images: tuple[StoredImage, ...]
    texts: tuple[str, ...]
    seed: int | None
    upload_ms: int
    input_tokens: int
    output_tokens: int
    spent: Spent

    @property
    def units(self) -> int:
        return len(self.images) or min(1, len(self.texts))  # several texts say one thing


def attempt_prefix(job_id: UUID, attempt_id: UUID) -> str:
    """Where an attempt, and nobody else, stores its objects."""
    return f"{OBJECT_PREFIX}{job_id}/{attempt_id}/"


def object_key(job_id: UUID, attempt_id: UUID, number: int, extension: str) -> str:
    """The key of an attempt's picture, counted from 1."""
    return f"{attempt_prefix(job_id, attempt_id)}{number}.{extension}"


def milliseconds(start: datetime, end: datetime) -> int:
    """Whole milliseconds between two times; clocks of two machines may differ, so never below 0."""
    return max(0, (end - start) // MILLISECOND)


def next_sweep(state: AttemptState, sweeps: int, now: datetime) -> datetime | None:
    """When to look again for objects of an attempt that has been swept this many times."""
    is_sure = state not in {AttemptState.UNKNOWN, AttemptState.STOPPED}
    return None if is_sure or sweeps > 1 else now + SECOND_SWEEP


def completed(claim: Claim, delivery: Delivery) -> GenerationCompleted:
    """The answer to a job that delivered something."""
    request = claim.request
    return GenerationCompleted(
        job_id=request.job_id,
        account_id=request.account_id,
        request=request,
        attempt_id=claim.attempt_id,
        images=delivery.images,
        texts=delivery.texts,
        delivered_units=delivery.units,
        seed=delivery.seed,
        queued_ms=milliseconds(claim.queued_at, claim.started_at),
        provider_ms=delivery.spent.provider_ms,
        upload_ms=delivery.upload_ms,
        input_tokens=delivery.input_tokens,
        output_tokens=delivery.output_tokens,
        provider_cost_microusd=delivery.spent.provider_cost_microusd,
        provider_cost_source=delivery.spent.provider_cost_source,
        provider_references=delivery.spent.references,
    )


def failed(
    request: RequestFacts,
    failure: Failure,
    *,
    queued_ms: int = 0,
    spent: Spent | None = None,
    attempt_id: UUID | None = None,
) -> GenerationFailed:
    """The answer to a job that delivered nothing."""
    cost = spent or Spent()
    return GenerationFailed(
        job_id=request.job_id,
        account_id=request.account_id,
        request=request,
        code=failure.code,
        message=failure.message,
        attempt_id=attempt_id,
        queued_ms=queued_ms,
        provider_ms=cost.provider_ms,
        provider_cost_microusd=cost.provider_cost_microusd,
        provider_cost_source=cost.provider_cost_source,
        provider_references=cost.references,
    )


def attempt_ended(
    request: RequestFacts,
    attempt_id: UUID,
    outcome: AttemptOutcome,
    *,
    started_at: datetime,
    spent: Spent,
    code: FailureCode | None = None,
) -> GenerationAttemptEnded:
    """The end of an attempt that has not decided its job."""
    return GenerationAttemptEnded(
        job_id=request.job_id,
        account_id=request.account_id,
        attempt_id=attempt_id,
        provider=request.provider,
        model=request.model,
        outcome=outcome,
        code=code,
        started_at=started_at,
        provider_ms=spent.provider_ms,
        provider_references=spent.references,
        provider_cost_microusd=spent.provider_cost_microusd,
        provider_cost_source=spent.provider_cost_source,
    )
