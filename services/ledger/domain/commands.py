"""What the ledger can be asked to do, and how the events of others ask for it."""

from uuid import UUID

from msgspec import Struct

from libs.events.generation import (
    GenerationCompleted,
    GenerationFailed,
    GenerationRequested,
    RequestFacts,
)
from libs.events.identity import UserRegistered
from libs.events.payload import Payload
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


class CaptureCredits(Struct, frozen=True, gc=False):
    """Charge a job for what it delivered and free the rest of its reservation."""

    account_id: UUID
    job_id: UUID
    credits: int


class ReleaseCredits(Struct, frozen=True, gc=False):
    """Free a job's whole reservation."""

    account_id: UUID
    job_id: UUID


JobCommand = ReserveCredits | CaptureCredits | ReleaseCredits
Command = OpenAccount | JobCommand


def reservation_of(account_id: UUID, job_id: UUID, request: RequestFacts) -> ReserveCredits:
    """What is set aside for a request.

    Raises:
        InvalidInputError: an amount is negative or too large, or the request contradicts itself.
    """
    return ReserveCredits(account_id, job_id, _price(account_id, job_id, request, request.units))


def command_of(data: Payload) -> Command:
    """The command in an event, checked in full, so that an input which has to wait is good.

    Raises:
        InvalidInputError: an amount is negative or too large, or the event contradicts itself.
    """
    match data:
        case UserRegistered():
            given, grace = _checked(data.signup_credits), _checked(data.grace)
            return OpenAccount(data.account_id, given, grace)
        case GenerationRequested():
            return reservation_of(data.account_id, data.job_id, data.request)
        case GenerationCompleted():
            price = _price(data.account_id, data.job_id, data.request, data.delivered_units)
            return CaptureCredits(data.account_id, data.job_id, price)
        case GenerationFailed():
            return ReleaseCredits(data.account_id, data.job_id)
        case _:
            raise InvalidInputError(f"{data.event_type.value} is no input: do not subscribe to it.")


def _price(account_id: UUID, job_id: UUID, request: RequestFacts, units: int) -> int:
    if (request.account_id, request.job_id) != (account_id, job_id):
        raise InvalidInputError(
            f"The request of job {job_id} names another job or account: correct the sender."
        )
    if units < 0 or request.units < 0:
        raise InvalidInputError(f"Job {job_id} counts units below zero: correct the sender.")
    _checked(request.unit_credits * request.units)
    return _checked(request.unit_credits * min(units, request.units))


def _checked(amount: int) -> int:
    if not 0 <= amount <= CREDITS_MAX:
        raise InvalidInputError(f"{amount} credits are out of range: give 0 to {CREDITS_MAX}.")
    return amount
