"""What providers can do, as data, and which requests are refused because nobody can do them."""

from collections.abc import Mapping

from msgspec import Struct

from libs.events.generation import FailureCode, RequestFacts


class Capabilities(Struct, frozen=True, kw_only=True):
    """One provider, as far as the queue and the gateway's clients need to know it."""

    provider: str
    operations: frozenset[str]
    models: frozenset[str]
    units_max: int
    concurrency: int  # calls at once over all replicas; more of them wait, none is refused
    is_idempotent: bool  # whether a call may be repeated without a second charge or another result


class Failure(Struct, frozen=True, kw_only=True):
    """Why an attempt or a job failed, in words that are safe to show to the user."""

    code: FailureCode
    message: str


DEADLINE = Failure(
    code=FailureCode.DEADLINE, message="The generation was not done in time: try it again."
)


def refusal(providers: Mapping[str, Capabilities], request: RequestFacts) -> Failure | None:
    """Why no provider of ours can take this request, or None if one can."""
    capabilities = providers.get(request.provider)
    if capabilities is None:
        return _unprocessable("provider", request.provider, providers)
    if request.operation not in capabilities.operations:
        return _unprocessable("operation", request.operation, capabilities.operations)
    if request.model not in capabilities.models:
        return Failure(
            code=FailureCode.NOT_FOUND,
            message=_choice("model", request.model, capabilities.models),
        )
    if not 1 <= request.units <= capabilities.units_max:
        message = f"{request.units} pictures cannot be made: ask for 1 to {capabilities.units_max}."
        return Failure(code=FailureCode.BAD_REQUEST, message=message)
    return None


def _unprocessable(
    kind: str, asked: str, offered: Mapping[str, object] | frozenset[str]
) -> Failure:
    return Failure(code=FailureCode.UNPROCESSABLE, message=_choice(kind, asked, frozenset(offered)))


def _choice(kind: str, asked: str, offered: frozenset[str]) -> str:
    return f"The {kind} {asked!r} is not offered here: choose {' or '.join(sorted(offered))}."
