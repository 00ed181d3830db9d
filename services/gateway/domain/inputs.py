"""Pictures that come with a request: where clients put them, and what each is to the job."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from libs.events.generation import InputRole, Operation
from services.gateway.domain.catalogue import Takes
from services.gateway.domain.text import InvalidRequestError

_REFERENCE: Final = InputRole.REFERENCE
# What clients call them, in the order in which they become inputs.
_ROLES: Final[Mapping[str, InputRole]] = {
    "modify_image_ref": InputRole.IMAGE,
    "imageBase64": _REFERENCE,
    "image": _REFERENCE,
    "file": _REFERENCE,
    "input_image": _REFERENCE,
    **{f"input_image_{number}": _REFERENCE for number in range(2, 10)},
    "image_prompt": _REFERENCE,
    "images": _REFERENCE,
    "references": _REFERENCE,
    "image_ref": _REFERENCE,
    "style_ref": InputRole.STYLE,
    "style_reference_images": InputRole.STYLE,
    "character_ref": InputRole.CHARACTER,
    "character_reference_images": InputRole.CHARACTER,
    "last_frame": InputRole.LAST_FRAME,
    "mask": InputRole.MASK,
}
_ADDRESSES: Final = ("url", "uri", "image_url")


class Given(Struct, frozen=True, kw_only=True):
    """A picture as it was sent; only whoever reads it knows what `content` is."""

    field: str
    role: InputRole
    content: Any


class Input(Struct, frozen=True, kw_only=True):
    """A picture as it is kept. Equal content is equal input, wherever it lies."""

    role: InputRole
    sha256: str
    key: str


def pictures_in(options: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[Given, ...]]:
    """Options without pictures, and the pictures."""
    rest = {name: value for name, value in options.items() if name not in _ROLES}
    found = (
        Given(field=name, role=role, content=each)
        for name, role in _ROLES.items()
        if name in options
        for each in _each(options[name])
    )
    return rest, tuple(found)


def given_file(field: str, content: Any) -> Given | None:
    """A picture that came as a file under this name; none if no picture is called so."""
    role = _ROLES.get(field.removesuffix("[]"))
    return None if role is None else Given(field=field, role=role, content=content)


def _each(value: Any) -> Iterator[Any]:
    """One by one, out of a list and out of an object that says where it lies."""
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, dict):
            yield next((each[name] for name in _ADDRESSES if each.get(name)), each)
        elif each is not None and each != "":
            yield each


def in_roles(given: Iterable[Given], operation: Operation) -> tuple[Given, ...]:
    """The pictures as an operation takes them: first what is worked on, last masks."""
    images = [each for each in given if each.role is InputRole.IMAGE]
    masks = [each for each in given if each.role is InputRole.MASK]
    others = [each for each in given if each.role not in {InputRole.IMAGE, InputRole.MASK}]
    if operation is not Operation.IMAGE and not images:
        place = next((n for n, each in enumerate(others) if each.role is _REFERENCE), None)
        if place is not None:
            images = [replace(others.pop(place), role=InputRole.IMAGE)]
    return (*images, *others, *masks)


def check_inputs(given: tuple[Given, ...], model: str, takes: Takes) -> None:
    """Whether a model can take these pictures (in their roles).

    Raises:
        InvalidRequestError: one is missing, or one too many.
    """
    masks = [each.field for each in given if each.role is InputRole.MASK]
    images = [each.field for each in given if each.role is not InputRole.MASK]
    if not takes.inputs_max and given:
        field = given[0].field
        raise InvalidRequestError(f"{model} takes no input image: leave out {field}", field=field)
    if len(images) < takes.inputs_min:
        raise InvalidRequestError("Image file is required", field="image")
    if len(masks) < takes.masks_min:
        raise InvalidRequestError("Mask file is required", field="mask")
    if len(masks) > takes.masks_max:
        text = f"{model} takes at most {takes.masks_max} mask here: leave out {masks[-1]}"
        raise InvalidRequestError(text, field=masks[-1])
    images_max = takes.inputs_max - takes.masks_max
    if len(images) > images_max:
        text = f"{model} takes at most {images_max} input images here: send fewer"
        raise InvalidRequestError(text, field=images[-1])
