"""What clients may ask of any picture, read once for all providers: size, ratio, seed."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from libs.events.generation import FailureCode
from services.generation.domain.capabilities import Capabilities, Model
from services.generation.ports import ProviderError, ProviderRequest

SEED_MAX = 2**31 - 1

_SIZE = re.compile(r"\s*(\d{1,5})\s*[x*:]\s*(\d{1,5})\s*")
_RATIO = re.compile(r"\s*(\d{1,3})\s*[:x]\s*(\d{1,3})\s*")

Pair = tuple[int, int]


def model_of(capabilities: Capabilities, request: ProviderRequest) -> Model:
    """The model that is asked for; the queue has refused what there is none for."""
    model = capabilities.model(request.model)
    if model is None:
        raise ProviderError(FailureCode.NOT_FOUND, f"The model {request.model!r} is not offered.")
    return model


def seed_of(options: Mapping[str, Any]) -> int | None:
    """The seed asked for, if any.

    Raises:
        ProviderError: it is not a number that providers take.
    """
    seed = options.get("seed")
    if seed is None:
        return None
    if isinstance(seed, str) and seed.strip().isdecimal():
        seed = int(seed)  # forms send numbers as text
    if type(seed) is not int or not 0 <= seed <= SEED_MAX:
        raise _bad_request(f"The seed must be a whole number from 0 to {SEED_MAX}.")
    return seed


def size_of(model: Model, options: Mapping[str, Any]) -> str | None:
    """A size that the model has, as `WxH`: the one asked for, or the nearest in shape.

    Raises:
        ProviderError: what is asked for cannot be read, or is not offered.
    """
    size = _asked_size(options)
    if size is not None:
        text = f"{size[0]}x{size[1]}"
        if model.sizes and text not in model.sizes:
            raise _bad_request(f"The size {text} is not offered: choose {_listed(model.sizes)}.")
        return text
    ratio = _asked_ratio(options)
    if ratio is None or not model.sizes:
        return None
    return _nearest(ratio, model.sizes, "x")


def ratio_of(model: Model, options: Mapping[str, Any]) -> str | None:
    """An aspect ratio that the model has, as `W:H`: the one asked for, or that of the size.

    Raises:
        ProviderError: what is asked for cannot be read, or is not offered.
    """
    ratio = _asked_ratio(options)
    if ratio is not None:
        text = f"{ratio[0]}:{ratio[1]}"
        if model.aspect_ratios and text not in model.aspect_ratios:
            choice = _listed(model.aspect_ratios)
            raise _bad_request(f"The aspect ratio {text} is not offered: choose {choice}.")
        return text
    size = _asked_size(options)
    if size is None or not model.aspect_ratios:
        return None
    return _nearest(size, model.aspect_ratios, ":")


def pixels_of(options: Mapping[str, Any]) -> Pair | None:
    """Width and height asked for, in pixels.

    Raises:
        ProviderError: they cannot be read.
    """
    return _asked_size(options)


def text_of(options: Mapping[str, Any], *names: str) -> str | None:
    """The first of these options that is a text."""
    return next(
        (value for name in names if isinstance(value := options.get(name), str) and value), None
    )


def number_of(
    options: Mapping[str, Any], name: str, least: float, most: float
) -> int | float | None:
    """A number within its bounds, if it is given; forms send numbers as text.

    Raises:
        ProviderError: it is no number, or out of bounds.
    """
    value = options.get(name)
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            value = math.nan
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise _bad_request(f"The {name} must be a number from {least:g} to {most:g}.")
    return int(value) if value == int(value) else value


def flag_of(options: Mapping[str, Any], name: str, *, otherwise: bool) -> bool:
    """Whether it is asked for; forms send it as text."""
    value = options.get(name)
    if isinstance(value, str):
        value = {"true": True, "false": False}.get(value.strip().lower())
    return value if isinstance(value, bool) else otherwise


def form_text(value: Any) -> str:
    """A value as a part of a form."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def present(**fields: Any) -> dict[str, Any]:
    """The fields that are not None."""
    return {name: value for name, value in fields.items() if value is not None}


def _asked_size(options: Mapping[str, Any]) -> Pair | None:
    if options.get("size") is not None:
        return _pair(_SIZE, "size", options["size"], "1024x1024")
    width, height = options.get("width"), options.get("height")
    if width is None and height is None:
        return None
    if type(width) is not int or type(height) is not int or not (width > 0 and height > 0):
        raise _bad_request("Width and height must both be whole numbers of pixels.")
    return width, height


def _asked_ratio(options: Mapping[str, Any]) -> Pair | None:
    value = next(
        (options[name] for name in ("aspect_ratio", "aspectRatio") if options.get(name)), None
    )
    return None if value is None else _pair(_RATIO, "aspect ratio", value, "16:9")


def _pair(pattern: re.Pattern[str], name: str, value: Any, example: str) -> Pair:
    found = pattern.fullmatch(value) if isinstance(value, str) else None
    if found is None or not (int(found[1]) and int(found[2])):
        raise _bad_request(f"The {name} cannot be read: write it like {example}.")
    return int(found[1]), int(found[2])


def _nearest(wanted: Pair, offered: Sequence[str], separator: str) -> str:
    shape = math.log(wanted[0] / wanted[1])

    def distance(text: str) -> float:
        width, height = text.split(separator)
        return abs(math.log(int(width) / int(height)) - shape)

    return min(offered, key=distance)


def _listed(choices: Sequence[str]) -> str:
    return " or ".join(choices)


def _bad_request(message: str) -> ProviderError:
    return ProviderError(FailureCode.BAD_REQUEST, message)
