"""What a finished job counts as in the usage trail."""

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from msgspec import Struct

from libs.events.billing import UsageOutcome
from libs.events.derived_ids import derived_id
from libs.events.envelope import Event
from libs.events.generation import (
    CostSource,
    GenerationCompleted,
    GenerationFailed,
    JobEvent,
    RequestFacts,
)
from libs.events.names import EventType, Service
from libs.events.payload import Moment, Payload
from services.billing.domain.attempts import lines_of


class Usage(Struct, frozen=True, gc=False):
    """One finished job. What only the request tells is None where the request could not be read.

    Made by position below: keywords of so many fields would cost more than all else that is done
    for a row.
    """

    id: UUID
    job_id: UUID
    account_id: UUID
    user_id: UUID | None
    workspace_id: UUID | None
    operation: str | None
    provider: str | None
    model: str | None
    price_book_version: int | None
    requested_at: datetime | None
    units_requested: int | None
    units_delivered: int
    credits: int
    outcome: UsageOutcome
    error_code: str | None
    input_tokens: int
    output_tokens: int
    queued_ms: int
    provider_ms: int
    provider_cost_microusd: int
    provider_cost_source: CostSource  # who said so
    attempt_id: UUID | None  # the attempt that the answer tells of
    provider_references: str  # what the provider calls its calls, one a line
    event_id: UUID
    correlation_id: UUID
    occurred_at: datetime


class UsageFacts(Struct, frozen=True, kw_only=True, gc=False):
    """What usage takes of a request."""

    user_id: UUID
    workspace_id: UUID | None = None
    operation: str
    provider: str
    model: str
    unit_credits: int
    units: int
    price_book_version: int
    requested_at: Moment


class CompletedUsage(JobEvent, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """What usage takes of a completed job: most of the event is words and pictures."""

    event_type: ClassVar[EventType] = EventType.GENERATION_COMPLETED
    event_version: ClassVar[int] = GenerationCompleted.event_version
    writers: ClassVar[tuple[Service, ...]] = GenerationCompleted.writers

    request: UsageFacts
    attempt_id: UUID
    delivered_units: int
    queued_ms: int
    provider_ms: int
    input_tokens: int = 0
    output_tokens: int = 0
    provider_cost_microusd: int = 0
    provider_cost_source: CostSource = CostSource.UNKNOWN
    provider_references: tuple[str, ...] = ()


def usage_id(job_id: UUID) -> UUID:
    """The same job has the same usage row in every rebuild."""
    return derived_id(job_id, "usage")


def credits_charged(request: RequestFacts | UsageFacts, delivered_units: int) -> int:
    """What was delivered is charged, and never more than was asked for."""
    return request.unit_credits * min(delivered_units, request.units)


def usage_of(event: Event[Payload]) -> Usage | None:
    """The usage that an event tells of; None where it is not the end of a job."""
    match event.data:
        case GenerationCompleted() | CompletedUsage() as completed:
            return _usage_of_completed(event, completed)
        case GenerationFailed() as failed:
            return _usage_of_failed(event, failed)
        case _:
            return None


def _usage_of_completed(
    event: Event[Payload], completed: GenerationCompleted | CompletedUsage
) -> Usage:
    request = completed.request
    return Usage(
        usage_id(completed.job_id),
        completed.job_id,
        completed.account_id,
        request.user_id,
        request.workspace_id,
        request.operation,
        request.provider,
        request.model,
        request.price_book_version,
        request.requested_at,
        request.units,
        completed.delivered_units,
        credits_charged(request, completed.delivered_units),
        UsageOutcome.COMPLETED,
        None,  # error_code
        completed.input_tokens,
        completed.output_tokens,
        completed.queued_ms,
        completed.provider_ms,
        completed.provider_cost_microusd,
        completed.provider_cost_source,
        completed.attempt_id,
        lines_of(completed.provider_references),
        event.id,
        event.correlation_id,
        event.time,
    )


def _usage_of_failed(event: Event[Payload], failed: GenerationFailed) -> Usage:
    """A failed job is free, though it may have cost us: provider time and money are kept."""
    request = failed.request
    return Usage(
        id=usage_id(failed.job_id),
        job_id=failed.job_id,
        account_id=failed.account_id,
        user_id=request.user_id if request else None,
        workspace_id=request.workspace_id if request else None,
        operation=request.operation if request else None,
        provider=request.provider if request else None,
        model=request.model if request else None,
        price_book_version=request.price_book_version if request else None,
        requested_at=request.requested_at if request else None,
        units_requested=request.units if request else None,
        units_delivered=0,
        credits=0,
        outcome=UsageOutcome.FAILED,
        error_code=failed.code.value,
        input_tokens=0,
        output_tokens=0,
        queued_ms=failed.queued_ms,
        provider_ms=failed.provider_ms,
        provider_cost_microusd=failed.provider_cost_microusd,
        provider_cost_source=failed.provider_cost_source,
        attempt_id=failed.attempt_id,
        provider_references=lines_of(failed.provider_references),
        event_id=event.id,
        correlation_id=event.correlation_id,
        occurred_at=event.time,
    )
