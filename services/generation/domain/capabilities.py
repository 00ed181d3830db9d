"""What providers can do, as data, and which requests are refused because nobody can do them."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from msgspec import Struct
from msgspec.structs import replace

from libs.events.generation import FailureCode, InputRole, RequestFacts, input_roles

INPUT_PREFIXES = ("inputs/", "attempts/")  # where pictures lie that may be worked on


class Takes(Struct, frozen=True, kw_only=True):
    """What one operation of a model takes besides its prompt, and how much it delivers."""

    units_max: int = 0  # 0: as many as its provider
    inputs_min: int = 0
    inputs_max: int = 0
    masks_max: int = 0  # of the inputs, how many may be masks
    cost_microusd: int = 0  # of one unit; 0: as the model's pictures


IMAGE: Mapping[str, Takes] = MappingProxyType({"image": Takes()})


class Way(StrEnum):
    """How a model is called, where those of one provider differ in it."""

    USUAL = "usual"
    BESIDE_PROMPT = "beside prompt"  # a picture says the same as the prompt, it is no input
    FILL = "fill"  # what a mask shows is made anew
    EXPAND = "expand"  # what lies beyond the sides is made


class Model(Struct, frozen=True, kw_only=True):
    """One model of a provider, and what it takes. Empty sizes or ratios: the adapter decides."""

    id: str  # the provider's own, as it goes over the wire
    names: tuple[str, ...] = ()  # what our clients call it, besides its id
    operations: Mapping[str, Takes] = IMAGE
    aspect_ratios: tuple[str, ...] = ()
    sizes: tuple[str, ...] = ()
    cost_microusd: int = 0  # of a picture, where the provider does not say what it took
    way: Way = Way.USUAL
    by_ratio: bool = False  # it is told a shape, where its provider's others are told a size

    def cost_of(self, operation: str) -> int:
        """The list price of one unit, in micro-USD."""
        return self.operations[operation].cost_microusd or self.cost_microusd


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
    per_minute: int | None = None  # calls begun in a minute over all replicas; likewise
    input_bytes_max: int = 10_000_000  # of one input picture
    inputs_bytes_max: int = 50_000_000  # of all inputs of a request
    is_idempotent: bool = False  # a call may be repeated without a second charge
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

    def configured(self, changes: "Changes") -> "Capabilities":
        """With an operator's changes."""
        ids, costs = changes.model_ids, changes.costs_microusd
        changed = [
            replace(
                model,
                id=ids.get(name, model.id),
                names=(name,),
                cost_microusd=costs.get(name, model.cost_microusd),
            )
            for name in sorted({*ids, *costs})
            if (model := self.model(name)) is not None
        ]
        return replace(
            self,
            models=(*changed, *self.models),
            concurrency=changes.concurrency.get(self.provider, self.concurrency),
            per_minute=changes.per_minute.get(self.provider, self.per_minute),
        )


class Changes(Struct, frozen=True, kw_only=True):
    """What an operator knows better than the catalogue: by name of model, or of provider."""

    model_ids: Mapping[str, str] = {}
    costs_microusd: Mapping[str, int] = {}
    concurrency: Mapping[str, int] = {}
    per_minute: Mapping[str, int] = {}


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
    takes = model.operations.get(request.operation)
    if takes is None:
        return _unprocessable("operation", request.operation, model.operations)
    units_max = takes.units_max or capabilities.units_max
    if not 1 <= request.units <= units_max:
        return _bad(f"{request.units} pictures cannot be made: ask for 1 to {units_max}.")
    return _bad_inputs(takes, request)


def _bad_inputs(takes: Takes, request: RequestFacts) -> Failure | None:
    count = len(request.input_keys)
    if not takes.inputs_min <= count <= takes.inputs_max:
        wanted = f"{takes.inputs_min} to {takes.inputs_max} input pictures"
        return _bad(f"{count} input pictures cannot be taken: send {wanted}.")
    try:
        roles = input_roles(request.operation, count, request.options)
    except ValueError:
        return _bad("It is not clear what the input pictures are for.")
    if roles.count(InputRole.MASK) > takes.masks_max:
        return _bad("A mask cannot be taken here: leave it out.")
    if not all(key.startswith(INPUT_PREFIXES) for key in request.input_keys):
        return _bad("An input picture is not one of ours: upload it first.")
    return None


def _bad(message: str) -> Failure:
    return Failure(code=FailureCode.BAD_REQUEST, message=message)


def _unknown_model(capabilities: Capabilities, name: str) -> Failure:
    message = _choice("model", name, capabilities.names)
    return Failure(code=FailureCode.NOT_FOUND, message=message)


def _unprocessable(
    kind: str, asked: str, offered: Mapping[str, object] | frozenset[str]
) -> Failure:
    return Failure(code=FailureCode.UNPROCESSABLE, message=_choice(kind, asked, frozenset(offered)))


def _choice(kind: str, asked: str, offered: frozenset[str]) -> str:
    return f"The {kind} {asked!r} is not offered here: choose {' or '.join(sorted(offered))}."
