"""What the ledger can be asked to do, and how the events of others ask for it."""

from datetime import datetime
from typing import TypeAlias, TypeGuard, get_args
from uuid import UUID

from msgspec import Struct

from libs.events.billing import PaymentReceived, PaymentRefunded
from libs.events.credits import Wallet
from libs.events.envelope import Event
from libs.events.generation import (
    GenerationCompleted,
    GenerationFailed,
    GenerationRequested,
    RequestFacts,
)
from libs.events.identity import DeductionRequested, UserRegistered, WorkspaceCreated
from libs.events.payload import Payload
from services.ledger.domain import ids
from services.ledger.domain.errors import InvalidInputError

CREDITS_MAX = 2**53 - 1  # the largest integer that every JSON reader keeps exact


class OpenAccount(Struct, frozen=True, gc=False):
    """Open an account with its sign-up credits and its overdraft limit."""

    account_id: UUID
    credits: int
    grace: int


class ReserveCredits(Struct, frozen=True, gc=False):
    """Set the price of an admitted job aside."""

    account_id: UUID
    job_id: UUID
    credits: int
    at: datetime  # when it was admitted: lots that had ended by then are not for it


class CaptureCredits(Struct, frozen=True, gc=False):
    """Charge a job for what it delivered and free the rest of its reservation."""

    account_id: UUID
    job_id: UUID
    credits: int
    at: datetime


class ReleaseCredits(Struct, frozen=True, gc=False):
    """Free a job's whole reservation."""

    account_id: UUID
    job_id: UUID
    at: datetime


class GrantCredits(Struct, frozen=True, kw_only=True, gc=False):
    """Open a lot. A renewal ends what is left of the wallet's earlier lots."""

    transaction_id: UUID
    account_id: UUID
    credits: int
    wallet: Wallet
    source: str
    reference: str
    at: datetime
    expires_at: datetime | None = None
    priority: int = 0
    is_renewal: bool = False
    actor: UUID | None = None
    reason: str = ""


class DebitCredits(Struct, frozen=True, kw_only=True, gc=False):
    """Take credits back whatever is left: out of the lot they came as, if it is still there."""

    transaction_id: UUID
    account_id: UUID
    credits: int
    source: str
    reference: str
    at: datetime
    granted_by: UUID | None = None  # the transaction whose lot gives first
    actor: UUID | None = None
    reason: str = ""


class DeductCredits(Struct, frozen=True, kw_only=True, gc=False):
    """Book a deduction that the gateway holds credits for."""

    transaction_id: UUID
    account_id: UUID
    deduction_id: UUID
    credits: int
    at: datetime  # when it was admitted
    actor: UUID
    reason: str


class ExpireLot(Struct, frozen=True, kw_only=True, gc=False):
    """End a lot whose time has come."""

    transaction_id: UUID
    account_id: UUID
    lot_id: UUID
    at: datetime


class ForfeitSubscription(Struct, frozen=True, kw_only=True, gc=False):
    """End all lots of the subscription wallet before their time."""

    transaction_id: UUID
    account_id: UUID
    at: datetime
    actor: UUID | None = None
    reason: str = ""


class ReverseTransaction(Struct, frozen=True, kw_only=True, gc=False):
    """Answer a transaction by its opposite."""

    transaction_id: UUID
    account_id: UUID
    reverses: UUID
    at: datetime
    actor: UUID
    reason: str


class SetGrace(Struct, frozen=True, kw_only=True, gc=False):
    """Change the overdraft limit."""

    transaction_id: UUID
    account_id: UUID
    grace: int
    actor: UUID
    reason: str


JobCommand: TypeAlias = ReserveCredits | CaptureCredits | ReleaseCredits
# Booked once under the id of the transaction that they lead to.
KeyedCommand: TypeAlias = (
    GrantCredits
    | DebitCredits
    | DeductCredits
    | ExpireLot
    | ForfeitSubscription
    | ReverseTransaction
    | SetGrace
)
Command: TypeAlias = OpenAccount | JobCommand | KeyedCommand

# Looking a type up is several times cheaper than asking a union of structs for its instances.
_JOB_COMMANDS = frozenset(get_args(JobCommand))
_KEYED_COMMANDS = frozenset(get_args(KeyedCommand))


def is_about_job(command: Command) -> TypeGuard[JobCommand]:
    return type(command) in _JOB_COMMANDS


def is_keyed(command: Command) -> TypeGuard[KeyedCommand]:
    return type(command) in _KEYED_COMMANDS


def reservation_of(account_id: UUID, job_id: UUID, request: RequestFacts) -> ReserveCredits:
    """What is set aside for a request.

    Raises:
        InvalidInputError: an amount is negative or too large, or the request contradicts itself.
    """
    price = _price(account_id, job_id, request, request.units)
    return ReserveCredits(account_id, job_id, price, request.requested_at)


def command_of(event: Event[Payload]) -> Command:  # noqa: PLR0911  # one a type
    """The command in an event, checked in full, so that an input which has to wait is good.

    Raises:
        InvalidInputError: an amount is negative or too large, or the event contradicts itself.
    """
    data = event.data
    match data:
        case GenerationRequested():
            return reservation_of(data.account_id, data.job_id, data.request)
        case GenerationCompleted():
            price = _price(data.account_id, data.job_id, data.request, data.delivered_units)
            return CaptureCredits(data.account_id, data.job_id, price, event.time)
        case GenerationFailed():
            return ReleaseCredits(data.account_id, data.job_id, event.time)
        case UserRegistered() | WorkspaceCreated():
            given, grace = checked(data.signup_credits), checked(data.grace)
            return OpenAccount(data.account_id, given, grace)
        case DeductionRequested():
            return _deduction(data)
        case PaymentReceived():
            return _payment(data, event.time)
        case PaymentRefunded():
            return _refund(data, event.time)
        case _:
            raise InvalidInputError(f"{data.event_type.value} is no input: do not subscribe to it.")


def _deduction(data: DeductionRequested) -> DeductCredits:
    return DeductCredits(
        transaction_id=ids.deduction_id(data.deduction_id),
        account_id=data.account_id,
        deduction_id=data.deduction_id,
        credits=checked(data.credits, least=1),
        at=data.requested_at,
        actor=data.actor,
        reason=data.reason,
    )


def _payment(data: PaymentReceived, at: datetime) -> GrantCredits:
    if data.is_renewal and data.wallet is not Wallet.SUBSCRIPTION:
        raise InvalidInputError(f"Payment {data.payment_id} renews a wallet that is never renewed.")
    if data.wallet is Wallet.TOPUP and data.expires_at is not None:
        raise InvalidInputError(f"Payment {data.payment_id} is a top-up, which never ends.")
    return GrantCredits(
        transaction_id=ids.payment_id(data.provider, data.payment_id),
        account_id=data.account_id,
        credits=checked(data.credits, least=0 if data.is_renewal else 1),  # it may end a plan
        wallet=data.wallet,
        source=data.provider,
        reference=data.payment_id,
        at=at,
        expires_at=data.expires_at,
        is_renewal=data.is_renewal,
    )


def _refund(data: PaymentRefunded, at: datetime) -> DebitCredits:
    return DebitCredits(
        transaction_id=ids.refund_id(data.provider, data.refund_id),
        account_id=data.account_id,
        credits=checked(data.credits, least=1),
        source=data.kind.value,
        reference=data.refund_id,
        at=at,
        granted_by=ids.payment_id(data.provider, data.payment_id),
    )


def _price(account_id: UUID, job_id: UUID, request: RequestFacts, units: int) -> int:
    if (request.account_id, request.job_id) != (account_id, job_id):
        raise InvalidInputError(
            f"The request of job {job_id} names another job or account: correct the sender."
        )
    if units < 0 or request.units < 0:
        raise InvalidInputError(f"Job {job_id} counts units below zero: correct the sender.")
    checked(request.unit_credits * request.units)
    return checked(request.unit_credits * min(units, request.units))


def checked(amount: int, *, least: int = 0) -> int:
    """An amount of credits that can be right.

    Raises:
        InvalidInputError: it is too small or too large.
    """
    if not least <= amount <= CREDITS_MAX:
        raise InvalidInputError(
            f"{amount} credits are out of range: give {least} to {CREDITS_MAX}."
        )
    return amount
