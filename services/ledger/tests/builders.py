"""Inputs of the ledger: what opens accounts, jobs, payments, deductions, and their commands."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from msgspec.structs import replace

from libs.events.billing import PaymentReceived, PaymentRefunded, RefundKind
from libs.events.credits import CreditsEvent, Wallet
from libs.events.envelope import Event
from libs.events.generation import FailureCode, GenerationFailed, GenerationRequested, RequestFacts
from libs.events.generation import GenerationCompleted as Completed
from libs.events.identity import DeductionRequested, UserRegistered, WorkspaceCreated
from libs.events.names import Service
from libs.events.payload import Payload
from libs.events.testing import NOW, request_facts
from libs.events.testing import completed as completed_in_full
from libs.events.testing import event as event_of
from libs.events.testing import failed as failed_by_server
from services.ledger.domain.commands import command_of
from services.ledger.domain.fold import Input

ADMIN = UUID(int=7)


def facts(
    account_id: UUID, job_id: UUID, *, unit_credits: int = 1, units: int = 1, **changes: Any
) -> RequestFacts:
    return request_facts(
        account_id=account_id,
        user_id=account_id,
        job_id=job_id,
        unit_credits=unit_credits,
        units=units,
        **changes,
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


def paid(account_id: UUID, credits_: int, payment_id: str | None = None, **changes: Any) -> Payload:
    """A paid top-up, promoted credits if they end, or with `is_renewal` a subscription's period."""
    payment = PaymentReceived(
        payment_id=payment_id or f"pi_{uuid4()}",
        account_id=account_id,
        provider="stripe",
        credits=credits_,
        amount_minor=100,
        currency="usd",
        wallet=Wallet.PROMO if changes.get("expires_at") else Wallet.TOPUP,
    )
    return replace(payment, **changes)


def renewed(account_id: UUID, credits_: int, *, until: datetime, payment_id: str = "") -> Payload:
    return paid(
        account_id,
        credits_,
        payment_id or None,
        wallet=Wallet.SUBSCRIPTION,
        expires_at=until,
        is_renewal=True,
    )


def refunded(
    account_id: UUID, credits_: int, *, payment_id: str = "pi_0", refund_id: str | None = None
) -> PaymentRefunded:
    return PaymentRefunded(
        payment_id=payment_id,
        refund_id=refund_id or f"re_{uuid4()}",
        account_id=account_id,
        provider="stripe",
        credits=credits_,
        amount_minor=100,
        currency="usd",
        kind=RefundKind.DISPUTE,
    )


def deduction(
    account_id: UUID, credits_: int, *, deduction_id: UUID | None = None, at: datetime = NOW
) -> DeductionRequested:
    return DeductionRequested(
        deduction_id=deduction_id or uuid4(),
        account_id=account_id,
        credits=credits_,
        actor=ADMIN,
        reason="Given by mistake.",
        requested_at=at,
    )


def created(account_id: UUID, *, signup_credits: int = 20, grace: int = 0) -> WorkspaceCreated:
    return WorkspaceCreated(
        workspace_id=account_id,
        account_id=account_id,
        created_by=ADMIN,
        signup_credits=signup_credits,
        grace=grace,
    )
