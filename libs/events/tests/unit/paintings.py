"""A made-up event whose model a test can change at will."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any, ClassVar, cast
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from libs.events.names import EventType, Service, Topic
from libs.events.payload import Payload

NAME = EventType.GENERATION_COMPLETED.value
Field = tuple[str, Any] | tuple[str, Any, Any]


class Medium(StrEnum):
    """What it is painted with."""

    OIL = "oil"
    INK = "ink"


class Frame(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What it hangs in."""

    width: int


class Painted(Payload, frozen=True, kw_only=True):
    """A picture was painted."""

    event_type: ClassVar[EventType] = EventType.GENERATION_COMPLETED
    topic: ClassVar[Topic] = Topic.GENERATION
    writers: ClassVar[tuple[Service, ...]] = (Service.GENERATION,)

    @property
    def subject(self) -> str:
        return "painting"

    @property
    def account(self) -> UUID | None:
        return None


FIELDS: Sequence[Field] = (
    ("colour", str),
    ("medium", Medium),
    ("strokes", Annotated[int, Meta(ge=0)]),
    ("frames", tuple[Frame, ...]),
    ("owner", UUID | None, None),
    ("lot", int, 1),
)


def painted(
    *changed: Field, without: Sequence[str] = (), version: int = 1, **members: Any
) -> type[Payload]:
    """The model with some fields replaced, added or left out."""
    fields: dict[str, Field] = {each[0]: each for each in (*FIELDS, *changed)}
    model = msgspec.defstruct(
        "Painted",
        [field for name, field in fields.items() if name not in without],
        bases=(Painted,),
        namespace={"event_version": version, "__doc__": "A picture was painted.", **members},
        frozen=True,
        kw_only=True,
    )
    return cast("type[Payload]", model)
