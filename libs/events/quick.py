"""Reads messages of the newest versions in one pass over their bytes.

The registry reads in two steps, lifts old versions and knows the reason of every refusal. Nearly
all messages need nothing of that: here each goes straight to its typed event. Whatever does not
fit, for whatever reason, is left to the registry.
"""

from collections.abc import Collection, Mapping
from functools import reduce
from operator import or_
from typing import Annotated, Any, ClassVar, Literal, cast
from uuid import UUID

import msgspec
from msgspec import Meta, Raw, Struct

from libs.events.envelope import ENCODED_BYTES_MAX, Event
from libs.events.names import EventType
from libs.events.payload import Moment, Payload
from libs.events.registry import NAME_CHARACTERS_MAX, Registry

Views = Mapping[EventType, type[Payload]]
"""What a reader needs of the data of some types, where that is less than all of it."""


class Message(Struct, frozen=True, kw_only=True, gc=False, tag_field="type"):
    """The attributes of `Envelope`; each type of event has a struct with its data, too."""

    is_wanted: ClassVar[bool]

    specversion: Literal["1.0"]
    id: UUID
    source: str
    subject: Annotated[str, Meta(max_length=NAME_CHARACTERS_MAX)]
    time: Moment
    datacontenttype: str
    dataschema: str
    eventversion: int
    correlationid: UUID
    causationid: UUID | None = None
    accountid: UUID | None = None
    traceparent: str | None = None
    data: Any

    def event(self) -> Event[Payload]:
        """The typed event, if it is wanted."""
        return Event(
            id=self.id,
            source=self.source,
            time=self.time,
            correlation_id=self.correlationid,
            causation_id=self.causationid,
            traceparent=self.traceparent,
            data=self.data,
        )


class QuickReader:
    """Reads events of some types; of all others that the registry knows, only the attributes."""

    def __init__(
        self, registry: Registry, types: Collection[EventType], views: Views | None = None
    ) -> None:
        views = views or {}
        messages = [
            _wanted(model, views.get(event_type, model)) if event_type in types else _other(model)
            for event_type, model in registry.models.items()
        ]
        # A registry without models knows every event, but only by its attributes.
        self._decoder = msgspec.json.Decoder(reduce(or_, messages)) if messages else None

    def read(self, encoded: bytes) -> Message | None:
        """A message that is right, as far as it is read; None: let the registry look closer."""
        if self._decoder is None or len(encoded) > ENCODED_BYTES_MAX:
            return None
        try:
            message = self._decoder.decode(encoded)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
        return None if "\0" in message.subject else message


def _wanted(model: type[Payload], view: type[Payload]) -> type[Message]:
    if view.event_version != model.event_version:
        raise ValueError(f"{view.__name__} is a view of another version than {model.__name__}")
    return _message(model, view, Literal[model.event_version], is_wanted=True)


def _other(model: type[Payload]) -> type[Message]:
    return _message(model, Raw, int, is_wanted=False)


def _message(
    model: type[Payload], data: object, version: object, *, is_wanted: bool
) -> type[Message]:
    made = msgspec.defstruct(
        f"{model.__name__}Message",
        [("eventversion", version), ("data", data)],
        bases=(Message,),
        namespace={"is_wanted": is_wanted},
        frozen=True,
        kw_only=True,
        gc=False,
        tag=model.event_type.value,
    )
    return cast("type[Message]", made)
