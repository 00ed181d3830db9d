"""What the gateway refuses, and how it says so.

BadRequest          InvalidRequest
Unauthorized        InvalidCredentials, UnknownUser
PaymentRequired     InsufficientCredits
Forbidden           UserBanned
NotFound            JobNotFound
Conflict            EmailTaken, GenerationCancelled
Unprocessable       IdempotencyKeyReused, GenerationRefused
TooManyRequests     RateLimited, Flooded
BadGateway          GenerationFailure
Unavailable         OwnerUnavailable
GatewayTimeout      StillRunning, DeadlineMissed
"""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from libs.events.generation import FailureCode
from libs.events.names import Service
from libs.runtime.errors import (
    BadGateway,
    BadRequest,
    Conflict,
    DomainError,
    Forbidden,
    GatewayTimeout,
    NotFound,
    PaymentRequired,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    Unprocessable,
)
from services.gateway.domain.admission import Banned, CreditsShort, KeyReused, Refusal, TooMany
from services.gateway.domain.jobs import Answer
from services.gateway.domain.text import InvalidRequestError


class InvalidRequest(BadRequest):
    code = "invalid_request"

    def __init__(self, error: InvalidRequestError) -> None:
        super().__init__(error.message, details={"field": error.field})


class InvalidCredentials(Unauthorized):
    code = "invalid_credentials"

    def __init__(self) -> None:
        super().__init__("Invalid email or password")


class UnknownUser(Unauthorized):
    """A token of somebody who does not exist, or no more: not a 404, that would tell too much."""

    code = "unknown_user"

    def __init__(self) -> None:
        super().__init__("Not authenticated: log in again")


class InsufficientCredits(PaymentRequired):
    code = "insufficient_credits"

    def __init__(self, short: CreditsShort) -> None:
        text = f"Insufficient credits: {short.needed} needed, {max(0, short.available)} available"
        super().__init__(
            text, details={"neededCredits": short.needed, "availableCredits": short.available}
        )


class UserBanned(Forbidden):
    code = "user_banned"

    def __init__(self) -> None:
        super().__init__("This account may not generate: contact support")


class JobNotFound(NotFound):
    code = "job_not_found"

    def __init__(self) -> None:
        super().__init__("Job not found")


class UserNotFound(NotFound):
    code = "user_not_found"

    def __init__(self) -> None:
        super().__init__("User not found")


class EmailTaken(Conflict):
    code = "email_taken"

    def __init__(self) -> None:
        super().__init__("Email is already registered")


class IdempotencyKeyReused(Unprocessable):
    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__(
            "This Idempotency-Key was used for another request: send a new key with new content"
        )


class RateLimited(TooManyRequests):
    code = "rate_limited"

    def __init__(self, retry_after_seconds: float) -> None:
        super().__init__(
            "Too many generations: wait a moment and try again",
            retry_after_seconds=retry_after_seconds,
        )


class Flooded(TooManyRequests):
    code = "flooded"

    def __init__(self, retry_after_seconds: float) -> None:
        super().__init__(
            "Too many requests: wait a moment and try again",
            retry_after_seconds=retry_after_seconds,
        )


class OwnerUnavailable(Unavailable):
    code = "owner_unavailable"

    def __init__(self, owner: Service) -> None:
        super().__init__(
            f"The {owner.value} service does not answer: try again in a moment",
            details={"service": owner.value},
        )


class StillRunning(GatewayTimeout):
    """The wait is over, the job is not."""

    code = "still_running"

    def __init__(self, job_id: UUID) -> None:
        super().__init__(
            "The picture is not ready yet: ask for the job to see when it is",
            details={"jobId": str(job_id)},
        )


class GenerationRefused(Unprocessable):
    """The provider understood the request and will not do it."""

    code = "generation_refused"


class GenerationFailure(BadGateway):
    code = "generation_failed"


class DeadlineMissed(GatewayTimeout):
    code = "deadline_missed"


class GenerationCancelled(Conflict):
    code = "generation_cancelled"


# Never 429 or 503, whatever the provider said: a client would buy again.
_FAILURES: Final[Mapping[FailureCode, type[DomainError]]] = {
    FailureCode.BAD_REQUEST: GenerationRefused,
    FailureCode.NOT_FOUND: GenerationRefused,
    FailureCode.MODERATION: GenerationRefused,
    FailureCode.TOO_LARGE: GenerationRefused,
    FailureCode.UNPROCESSABLE: GenerationRefused,
    FailureCode.TIMEOUT: DeadlineMissed,
    FailureCode.DEADLINE: DeadlineMissed,
    FailureCode.CANCELLED: GenerationCancelled,
}


def failure_of(job_id: UUID, answer: Answer) -> DomainError:
    """What a waiting client is told of a job that made nothing."""
    code = answer.failure_code or FailureCode.SERVER
    details: dict[str, Any] = {"jobId": str(job_id), "failureCode": code.value}
    kind = _FAILURES.get(code, GenerationFailure)
    return kind(answer.failure_message or "Generation failed", details=details)


def refusal_of(refusal: Refusal) -> DomainError:
    """What a client is told of a request that is not admitted."""
    match refusal:
        case Banned():
            return UserBanned()
        case KeyReused():
            return IdempotencyKeyReused()
        case CreditsShort():
            return InsufficientCredits(refusal)
        case TooMany():
            return RateLimited(refusal.retry_after.total_seconds())
