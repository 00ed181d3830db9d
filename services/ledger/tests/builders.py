"""Valid inputs of the ledger, as their senders would publish them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from libs.events.envelope import Event
from libs.events.generation import (
    FailureCode,
    GenerationCompleted,
    GenerationFailed,
    GenerationRequested,
    RequestFacts,
)
from libs.events.identity import UserRegistered
from libs.events.payload import Payload
from services.ledger.domain.commands import command_of
from services.ledger.domain.fold import Input

NOON = datetime(2025, 11, 1, 12, 0, tzinfo=UTC)


def facts(account_id: UUID, job_id: UUID, *, unit_credits: int = 1, units: int = 1) -> RequestFacts:
    return RequestFacts(
        job_id=job_id,
        account_id=account_id,
        user_id=account_id,
        operation="image",
        provider="local",
        model="local-1",
        prompt="a lighthouse at dawn",
        options={},
        unit_credits=unit_credits,
        units=units,
        price_book_version=1,
        requested_at=NOON,
        deadline_at=NOON + timedelta(minutes=10),
    )


def registered(account_id: UUID, *, signup_credits: int = 20, grace: int = 0) -> UserRegistered:
    return UserRegistered(
        user_id=account_id,
        account_id=account_id,
        role="USER",
        signup_credits=signup_credits,
        grace=grace,
    )


def requested(request: RequestFacts) -> GenerationRequested:
    return GenerationRequested(
        job_id=request.job_id, account_id=request.account_id, request=request
    )


def completed(request: RequestFacts, delivered_units: int | None = None) -> GenerationCompleted:
    return GenerationCompleted(
        job_id=request.job_id,
        account_id=request.account_id,
        request=request,
        attempt_id=uuid4(),
        images=(),
        delivered_units=request.units if delivered_units is None else delivered_units,
        queued_ms=1,
        provider_ms=2,
        upload_ms=3,
    )


def failed(
    request: RequestFacts, code: FailureCode = FailureCode.SERVER, *, is_readable: bool = True
) -> GenerationFailed:
    return GenerationFailed(
        job_id=request.job_id,
        account_id=request.account_id,
        request=request if is_readable else None,
        code=code,
        message="The provider did not answer.",
    )


def event_of(data: Payload) -> Event[Payload]:
    """An event under a fresh id: another one each time, as from a sender that tries again."""
    event_id = uuid4()
    return Event(
        id=event_id,
        source="/daygen/test",
        time=NOON,
        correlation_id=event_id,
        causation_id=None,
        traceparent=None,
        data=data,
    )


def inputs_of(*data: Payload) -> Sequence[Input]:
    return [Input(cause=event_of(each), command=command_of(each)) for each in data]
