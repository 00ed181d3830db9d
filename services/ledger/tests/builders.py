"""Inputs of the ledger: a registration or an event of a job, and the command that is in it."""

from collections.abc import Sequence
from uuid import UUID, uuid4

from libs.events.credits import CreditsEvent
from libs.events.envelope import Event
from libs.events.generation import FailureCode, GenerationFailed, GenerationRequested, RequestFacts
from libs.events.generation import GenerationCompleted as Completed
from libs.events.identity import UserRegistered
from libs.events.names import Service
from libs.events.payload import Payload
from libs.events.testing import NOW, request_facts
from libs.events.testing import completed as completed_in_full
from libs.events.testing import event as event_of
from libs.events.testing import failed as failed_by_server
from services.ledger.domain.commands import command_of
from services.ledger.domain.fold import Input


def facts(account_id: UUID, job_id: UUID, *, unit_credits: int = 1, units: int = 1) -> RequestFacts:
    return request_facts(
        account_id=account_id,
        user_id=account_id,
        job_id=job_id,
        unit_credits=unit_credits,
        units=units,
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


def completed(request: RequestFacts, delivered_units: int | None = None) -> Completed:
    delivered = request.units if delivered_units is None else delivered_units
    return completed_in_full(request, images=(), delivered_units=delivered)


def failed(
    request: RequestFacts, code: FailureCode = FailureCode.SERVER, *, is_readable: bool = True
) -> GenerationFailed:
    return failed_by_server(request, code=code, request=request if is_readable else None)


def inputs_of(*data: Payload) -> Sequence[Input]:
    """Inputs under fresh event ids: others each time, as from a sender that tries again."""
    events = [event_of(each) for each in data]
    return [Input(cause=each, command=command_of(each)) for each in events]


def published(data: CreditsEvent) -> Event[CreditsEvent]:
    """A credits event as the ledger's outbox has it."""
    return Event(
        id=uuid4(),
        source=Service.LEDGER.source,
        time=NOW,
        correlation_id=uuid4(),
        causation_id=uuid4(),
        traceparent=None,
        data=data,
    )
