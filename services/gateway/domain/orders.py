"""From what was sent to what is ordered, by checks in the order and with the texts clients know."""

import hashlib
import math
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from libs.events.generation import INPUT_ROLES, Operation
from libs.events.text import is_storable
from services.gateway.domain.catalogue import Provider, provider_named, provider_of
from services.gateway.domain.inputs import Given, Input, check_inputs, in_roles, pictures_in
from services.gateway.domain.text import InvalidRequestError

UNITS_MAX: Final = 8
OPTIONS_BYTES_MAX: Final = 16_384
OPTIONS_DEPTH_MAX: Final = 6
INTEGER_MAX: Final = 2**53 - 1
CHARACTERS_PER_TOKEN: Final = 4

_COUNTS: Final = ("n", "num_images")
METHOD: Final = "method"
REFRAME: Final = "reframe"
_WITHOUT_MASK: Final = frozenset({REFRAME, "remix"})  # these work on the whole picture
# What these do follows from the picture alone.
_WITHOUT_PROMPT: Final = frozenset(
    {Operation.UPSCALE, Operation.DESCRIBE, Operation.VARIATE, Operation.VECTORISE}
)


class Draft(Struct, frozen=True, kw_only=True):
    """A request as it was sent. Options stand at the top level or nested, as clients differ."""

    operation: str | None = None
    provider: str | None = None
    model: str | None = None
    prompt: str | None = None
    options: dict[str, Any] = {}
    provider_options: dict[str, Any] = {}
    given: tuple[Given, ...] = ()  # pictures that came as files
    deadline_seconds: int | None = None
    webhook_url: str | None = None


class Order(Struct, frozen=True, kw_only=True):
    """A request that can be priced and done."""

    operation: str
    provider: str
    model: str  # as the client sent it
    prompt: str
    options: dict[str, Any]
    units: int
    inputs: tuple[Input, ...] = ()
    deadline_seconds: int | None = None  # after so long nobody wants it any more
    webhook_url: str | None = None  # where its state is told; it stands on no stream

    def fingerprint(self) -> bytes:
        """Equal for equal orders, however their JSON was written and wherever inputs lie."""
        inputs = tuple(replace(each, key="") for each in self.inputs)
        equal = replace(self, inputs=inputs)
        return hashlib.sha256(msgspec.json.encode(equal, order="deterministic")).digest()

    def patience(self, most: timedelta) -> timedelta:
        """For how long it is worked on: as long as its sender wants it, and no longer than this."""
        wanted = self.deadline_seconds
        return most if wanted is None else min(most, timedelta(seconds=wanted))

    def with_inputs(self, inputs: tuple[Input, ...]) -> "Order":
        """The order, with its pictures where they are kept."""
        if not inputs:
            return self
        roles = [each.role.value for each in inputs]
        return replace(self, inputs=inputs, options={**self.options, INPUT_ROLES: roles})


class Placed(Struct, frozen=True, kw_only=True):
    """An order, and the pictures that it still lacks."""

    order: Order
    given: tuple[Given, ...]


def estimated_tokens(order: Order) -> int:
    """What an order may use, as long as nobody knows: its provider says it at the end."""
    return -(-len(order.prompt) // CHARACTERS_PER_TOKEN)


def place(draft: Draft, *, needs_model: bool = False) -> Placed:
    """The order in a draft. With `needs_model` no provider's default stands in for a missing model.

    Raises:
        InvalidRequestError: something is missing, unknown or out of bounds.
    """
    named, sent = _operation(draft.operation), {**draft.options, **draft.provider_options}
    is_reframed = named is Operation.EDIT and sent.get(METHOD) == REFRAME
    prompt = (draft.prompt or "").strip()
    if not prompt and not is_reframed and named not in _WITHOUT_PROMPT:
        raise InvalidRequestError("Prompt is required", field="prompt")
    provider, model = _target(draft, named, needs_model=needs_model)
    operation = named or provider.usual_for(model)
    takes = provider.takes(model, operation)
    if takes is None:
        text = f"{model} cannot do {operation.value}: choose another model"
        raise InvalidRequestError(text, field="operation")
    if not is_storable(prompt) or len(prompt) > provider.prompt_chars_max:
        text = f"Prompt must be plain text of at most {provider.prompt_chars_max} characters"
        raise InvalidRequestError(text, field="prompt")
    options, pictures = pictures_in(
        {name: value for name, value in sent.items() if value is not None and name != INPUT_ROLES}
    )
    given = in_roles((*draft.given, *pictures), operation)
    is_whole = operation is Operation.EDIT and sent.get(METHOD) in _WITHOUT_MASK
    check_inputs(given, model, replace(takes, masks_min=0) if is_whole else takes)
    if is_reframed and not options.get("resolution"):
        raise InvalidRequestError("Resolution is required", field="resolution")
    units = _units(options, takes.units_max)
    kept = {name: each for name, each in options.items() if name not in _COUNTS}
    _check_options(kept)
    order = Order(
        operation=operation.value,
        provider=provider.name,
        model=model,
        prompt=prompt,
        options=kept,
        units=units,
        deadline_seconds=draft.deadline_seconds,
        webhook_url=draft.webhook_url,
    )
    return Placed(order=order, given=given)


def _target(
    draft: Draft, operation: Operation | None, *, needs_model: bool
) -> tuple[Provider, str]:
    provider = None if draft.provider is None else provider_named(draft.provider)
    if draft.provider is not None and provider is None:
        text = f"Unsupported provider: {_shown(draft.provider)}"
        raise InvalidRequestError(text, field="provider")
    model = draft.model
    if not model:
        if needs_model or provider is None:
            raise InvalidRequestError("Model is required", field="model")
        model = provider.default_for(operation or Operation.IMAGE)
    provider = provider or provider_of(model)
    if provider is None or model not in provider.models:
        raise InvalidRequestError(f"Unsupported model: {_shown(model)}", field="model")
    return provider, model


def _operation(name: str | None) -> Operation | None:
    if not name:
        return None
    try:
        return Operation(name)
    except ValueError:
        text = f"Unsupported operation: {_shown(name)}"
        raise InvalidRequestError(text, field="operation") from None


def _units(options: dict[str, Any], units_max: int) -> int:
    for name in _COUNTS:
        if name not in options:
            continue
        count = options[name]
        if type(count) is not int or not 1 <= count <= units_max:
            allowed = "1" if units_max == 1 else f"a whole number from 1 to {units_max}"
            raise InvalidRequestError(f"{name} must be {allowed}", field=name)
        return count
    return 1


def _check_options(options: dict[str, Any]) -> None:
    if not options:
        return
    for depth, value in _walk(options):
        if depth > OPTIONS_DEPTH_MAX:
            text = f"Options may be nested at most {OPTIONS_DEPTH_MAX} deep"
            raise InvalidRequestError(text, field="providerOptions")
        if not _is_plain(value):  # also what is too long to be read as text at all
            text = "Options must be short plain text, true or false, or numbers below 2^53"
            raise InvalidRequestError(text, field="providerOptions")
    if len(msgspec.json.encode(options)) > OPTIONS_BYTES_MAX:
        text = f"Options may take at most {OPTIONS_BYTES_MAX} bytes"
        raise InvalidRequestError(text, field="providerOptions")


def _walk(options: dict[str, Any]) -> Iterable[tuple[int, Any]]:
    """Every key and value with its depth, without recursion: the depth is the sender's choice."""
    todo: list[tuple[int, Any]] = [(1, options)]
    while todo:
        depth, value = todo.pop()
        inner = value if isinstance(value, list) else ()
        if isinstance(value, dict):
            inner = [*value, *value.values()]
        todo.extend((depth + 1, each) for each in inner if depth <= OPTIONS_DEPTH_MAX)
        yield depth, value


def _is_plain(value: object) -> bool:
    if isinstance(value, str):
        return is_storable(value)
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return abs(value) <= INTEGER_MAX
    return value is None or isinstance(value, list | dict)


def _shown(text: str) -> str:
    """A sender's text as it may stand in an answer."""
    return text[:100] if is_storable(text) else "?"
