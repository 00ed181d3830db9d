"""What the gateway refuses, and how it says so; of accounts: `account_errors.py`.

BadRequest          InvalidRequest, BadImage
Unauthorized        UnknownUser, InvalidApiKey
PaymentRequired     InsufficientCredits
Forbidden           UserBanned, ScopeMissing, LogInNeeded
NotFound            JobNotFound, AssetNotFound, ModelNotFound, PriceBookNotFound, ApiKeyNotFound,
                    SubjectNotFound
Conflict            GenerationCancelled, PriceBookExpired, TooManyApiKeys, BanOfOneself
PayloadTooLarge     ImageTooLarge, AssetTooLarge
Unprocessable       UnprocessableRequest, RetiredModel, IdempotencyKeyReused, GenerationRefused,
                    InvalidPriceBook, EffectiveInThePast
TooManyRequests     RateLimited, Flooded
BadGateway          GenerationFailure, AnswerUnavailable
Unsupported         NotOffered
Unavailable         OwnerUnavailable, NoPrice
GatewayTimeout      StillRunning, DeadlineMissed
"""

from collections.abc import Mapping
from datetime import datetime
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
    PayloadTooLarge,
    PaymentRequired,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    Unprocessable,
    Unsupported,
)
from services.gateway.domain.admission import (
    Admitted,
    Banned,
    CreditsShort,
    KeyReused,
    NotKnown,
    NotPriced,
    PriceChanged,
    Refusal,
    Repeated,
)
from services.gateway.domain.jobs import Answer
from services.gateway.domain.limits import Measure, TooMany
from services.gateway.domain.text import InvalidRequestError


class InvalidRequest(BadRequest):
    code = "invalid_request"

    def __init__(self, error: InvalidRequestError) -> None:
        super().__init__(error.message, details={"field": error.field})


class UnprocessableRequest(Unprocessable):
    """An invalid request, where a client would repeat a 400."""

    code = "invalid_request"


class BadImage(BadRequest):
    """`why` is a clause about the picture."""

    code = "bad_image"

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field} is not an image we take: {why}", details={"field": field})


class ImageTooLarge(PayloadTooLarge):
    code = "image_too_large"

    def __init__(self, field: str, bytes_max: int) -> None:
        text = f"{field} is too large: an image may have at most {bytes_max} bytes"
        super().__init__(text, details={"field": field})


class RetiredModel(Unprocessable):
    code = "retired_model"

    def __init__(self, model: str, instead: str) -> None:
        text = f"The model {model} has been retired by its provider: choose {instead}"
        super().__init__(text, details={"model": model, "replacement": instead})


class NotOffered(Unsupported):
    """A route that clients know, of something that is not offered here."""

    code = "not_offered"


class UnknownUser(Unauthorized):
    """A token of somebody who does not exist, or no more: not a 404, that would tell too much."""

    code = "unknown_user"

    def __init__(self) -> None:
        super().__init__("Not authenticated: log in again")


class InvalidApiKey(Unauthorized):
    """Never made by us, or revoked: one answer for both."""

    code = "invalid_api_key"

    def __init__(self) -> None:
        super().__init__("Unauthorized: this API key is not valid")


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
        super().__init__("This account may not generate, nor change anything: contact support")


class ScopeMissing(Forbidden):
    code = "scope_missing"

    def __init__(self, scope: str) -> None:
        super().__init__(f"This API key may not do this: it lacks the scope {scope}")


class LogInNeeded(Forbidden):
    """For people: a key must not be able to make, or free, others."""

    code = "log_in_needed"

    def __init__(self) -> None:
        super().__init__("An API key may not do this: log in")


class JobNotFound(NotFound):
    code = "job_not_found"

    def __init__(self) -> None:
        super().__init__("Job not found")


class ModelNotFound(NotFound):
    code = "model_not_found"

    def __init__(self, model: str) -> None:
        super().__init__(f"There is no model {model[:100]}")


class AssetNotFound(NotFound):
    code = "asset_not_found"

    def __init__(self) -> None:
        super().__init__("There is no such picture")


class AssetTooLarge(PayloadTooLarge):
    code = "asset_too_large"

    def __init__(self, bytes_max: int) -> None:
        super().__init__(f"A picture of more than {bytes_max} bytes is not sent by value")


class UserNotFound(NotFound):
    code = "user_not_found"

    def __init__(self) -> None:
        super().__init__("User not found")


class PriceBookNotFound(NotFound):
    code = "price_book_not_found"

    def __init__(self, version: int) -> None:
        super().__init__(f"There is no price book {version}: list them to see which there are")


class ApiKeyNotFound(NotFound):
    code = "api_key_not_found"

    def __init__(self) -> None:
        super().__init__("API key not found")


class SubjectNotFound(NotFound):
    code = "subject_not_found"

    def __init__(self, kind: str, subject: str) -> None:
        super().__init__(f"There is no {kind} {subject}")


class PriceBookExpired(Conflict):
    code = "price_book_expired"

    def __init__(self, changed: PriceChanged) -> None:
        super().__init__(
            f"Price book {changed.in_force} is in force, not {changed.agreed}: ask for a new quote",
            details={"priceBookVersion": changed.in_force},
        )


class TooManyApiKeys(Conflict):
    code = "too_many_api_keys"

    def __init__(self, most: int) -> None:
        super().__init__(f"There are {most} API keys already: revoke one first")


class BanOfOneself(Conflict):
    code = "ban_of_oneself"

    def __init__(self) -> None:
        super().__init__("Nobody can ban themselves: ask another administrator")


class IdempotencyKeyReused(Unprocessable):
    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__(
            "This Idempotency-Key was used for another request: send a new key with new content"
        )


class InvalidPriceBook(Unprocessable):
    code = "invalid_price_book"


class EffectiveInThePast(Unprocessable):
    code = "effective_in_the_past"

    def __init__(self) -> None:
        super().__init__("A price book cannot be in force from an instant that has passed")


class NoPrice(Unavailable):
    code = "no_price"

    def __init__(self, operation: str) -> None:
        super().__init__(f"No price book in force has a price for {operation}: try again later")


class RateLimited(TooManyRequests):
    """`allowances` are what is left at `at`: the answer's headers tell of them."""

    code = "rate_limited"

    def __init__(self, refusal: TooMany, at: datetime) -> None:
        text = "Too many generations: wait a moment and try again"
        if refusal.measure is not Measure.REQUESTS:
            text = f"The day's {refusal.measure.value} are used up: try again tomorrow"
        super().__init__(
            text,
            retry_after_seconds=refusal.retry_after.total_seconds(),
            details={"limit": refusal.subject.kind.value, "measure": refusal.measure.value},
        )
        self.allowances = refusal.allowances
        self.at = at


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


class AnswerUnavailable(BadGateway):
    """There is a job, but not the answer to it. Never 503: a client would buy again."""

    code = "answer_unavailable"

    def __init__(self, job_id: UUID) -> None:
        super().__init__(
            "The job is there, but this answer to it cannot be given: ask for the job",
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


# Clients read a failed task of this provider from a 422 with `details.error`.
_TASKS: Final = "runway"


def failure_of(job_id: UUID, provider: str, answer: Answer) -> DomainError:
    """What a waiting client is told of a job that made nothing."""
    code = answer.failure_code or FailureCode.SERVER
    text = answer.failure_message or "Generation failed"
    details: dict[str, Any] = {"jobId": str(job_id), "failureCode": code.value}
    kind = _FAILURES.get(code, GenerationFailure)
    if provider == _TASKS and kind in {GenerationFailure, GenerationRefused}:
        return GenerationRefused(text, details={**details, "details": {"error": text}})
    return kind(text, details=details)


def refusal_of(  # noqa: PLR0911  # one for each kind
    refusal: Refusal | Repeated | Admitted, at: datetime
) -> DomainError:
    """What a client is told of a request that is not admitted."""
    match refusal:
        case NotKnown():
            return UnknownUser()
        case Banned():
            return UserBanned()
        case KeyReused():
            return IdempotencyKeyReused()
        case NotPriced(operation):
            return NoPrice(operation)
        case PriceChanged():
            return PriceBookExpired(refusal)
        case CreditsShort():
            return InsufficientCredits(refusal)
        case TooMany():
            return RateLimited(refusal, at)
        case _:
            raise TypeError(f"{type(refusal).__name__} is no refusal")
