"""Events as they were recorded: any type, any version, known to this release or not."""

from typing import Final
from uuid import UUID

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from libs.events.envelope import Envelope, Event
from libs.events.erasure import without_person
from libs.events.names import EventType
from libs.events.payload import Payload
from libs.events.registry import REGISTRY, Registry, UndecodableEventError

_NOTHING: Final = Raw(b"null")


class Recorded(Payload, frozen=True, kw_only=True):
    """Stands for the data of whatever event it is; none of that is read."""

    envelope: Envelope

    @property
    def subject(self) -> str:
        return self.envelope.subject

    @property
    def account(self) -> UUID | None:
        return self.envelope.accountid


class Envelopes(Registry):
    """Opens every envelope. Only what says that a person is gone is read: it must be obeyed."""

    def __init__(self) -> None:
        super().__init__(models=())

    def _data(self, envelope: Envelope) -> Payload:
        if envelope.type == EventType.ACCOUNT_ERASED.value:
            try:
                return REGISTRY.open(envelope).data
            except UndecodableEventError:
                pass  # whoever has to obey it sets it aside
        return Recorded(envelope=envelope)


ENVELOPES: Final = Envelopes()


def recorded_without_person(event: Event[Payload]) -> Event[Payload]:
    """A recorded event of whoever is erased, as it may be kept."""
    if not isinstance(event.data, Recorded):
        return without_person(event)
    return replace(event, data=Recorded(envelope=envelope_without_person(event.data.envelope)))


def envelope_without_person(envelope: Envelope) -> Envelope:
    """The attributes, and what of the data is neither words nor pictures.

    What this release cannot read may hold some: nothing of it is kept.
    """
    try:
        event = REGISTRY.open(envelope)
    except UndecodableEventError:
        return replace(envelope, data=_NOTHING)
    kept = without_person(event).data
    if kept is event.data:
        return envelope
    data = Raw(msgspec.json.encode(kept))
    return replace(envelope, data=data, eventversion=kept.event_version)
