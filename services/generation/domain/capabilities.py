"""What providers can do, as data, and which requests are refused because nobody can do them."""

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from libs.events.generation import FailureCode, RequestFacts

IMAGE = frozenset({"image"})


class Model(Struct, frozen=True, kw_only=True):
    """One model of a provider, and what it takes. Empty sizes or ratios: the adapter decides."""

    id: str  # the provider's own, as it goes over the wire
    names: tuple[str, ...] = ()  # what our clients call it, besides its id
    operations: frozenset[str] = IMAGE
    aspect_ratios: tuple[str, ...] = ()
    sizes: tuple[str, ...] = ()
    references_max: int = 0
    cost_microusd: int = 0  # of a picture, where the provider does not say what it took


class Polling(Struct, frozen=True, kw_only=True):
    """How often a provider that works on its own may be asked how far it is, in seconds."""

    first_seconds: float = 0.5
    seconds_max: float = 10.0
    growth: float = 1.5


class Capabilities(Struct, frozen=True, kw_only=True):
    """One provider, as far as the queue and the gateway's clients need to know it."""

    provider: str
    models: tuple[Model, ...]
    units_max: int
    concurrency: int  # calls at once over all replicas; more of them wait, none is refused
    is_idempotent: bool = False  # a call may be repeated without a second charge
    retired: Mapping[str, str] = {}  # names that are gone, and what to ask for instead
    polling: Polling | None = None  # None: it answers in the call itself

    def model(self, name: str) -> Model | None:
        """The model that a client means, by one of its names or by its own id."""
        return next(
            (each for each in self.models if name in each.names),
            next((each for each in self.models if name == each.id), None),
        )

    @property
    def operations(self) -> frozenset[str]:
        return frozenset().union(*(each.operations for each in self.models))

    @property
    def names(self) -> frozenset[str]:
        """Everything that can be asked for by name."""
        return frozenset(name for each in self.models for name in (*each.names, each.id))

    def configured(self, ids: Mapping[str, str], retired: Mapping[str, str]) -> "Capabilities":
        """With an operator's changes: other ids for some names, and names taken back."""
        changed = [
            replace(model, id=ids[name], names=(name,))
            for name in sorted(ids)
            if (model := self.model(name)) is not None
        ]
        kept = [
            replace(each, names=tuple(name for name in each.names if name not in retired))
            for each in (*changed, *self.models)
            if each.id not in retired
        ]
        mine = {name: retired[name] for name in retired if self.model(name) is not None}
        return replace(self, models=tuple(kept), retired={**self.retired, **mine})


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
    model = capabilities.model(request.model)
    if model is None:
        return _unknown_model(capabilities, request.model)
    if request.operation not in model.operations:
        return _unprocessable("operation", request.operation, model.operations)
    if not 1 <= request.units <= capabilities.units_max:
        message = f"{request.units} pictures cannot be made: ask for 1 to {capabilities.units_max}."
        return Failure(code=FailureCode.BAD_REQUEST, message=message)
    return None


def retired_model(name: str, replacement: str) -> Failure:
    """The model existed once, and its provider has ended it."""
    message = f"The model {name!r} has been retired by its provider: choose {replacement!r}."
    return Failure(code=FailureCode.NOT_FOUND, message=message)


def _unknown_model(capabilities: Capabilities, name: str) -> Failure:
    if name in capabilities.retired:
        return retired_model(name, capabilities.retired[name])
    message = _choice("model", name, capabilities.names)
    return Failure(code=FailureCode.NOT_FOUND, message=message)


def _unprocessable(
    kind: str, asked: str, offered: Mapping[str, object] | frozenset[str]
) -> Failure:
    return Failure(code=FailureCode.UNPROCESSABLE, message=_choice(kind, asked, frozenset(offered)))


def _choice(kind: str, asked: str, offered: frozenset[str]) -> str:
    return f"The {kind} {asked!r} is not offered here: choose {' or '.join(sorted(offered))}."
