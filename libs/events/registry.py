"""Every event there is: (type, version) -> model. Anything else is an explicit, typed refusal."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from libs.events.billing import PaymentReceived, PaymentRefunded, UsageRecorded
from libs.events.credits import (
    CreditsCaptured,
    CreditsDebited,
    CreditsDeducted,
    CreditsExpired,
    CreditsForfeited,
    CreditsGranted,
    CreditsReclaimed,
    CreditsReleased,
    CreditsReserved,
    CreditsReversed,
    GraceChanged,
)
from libs.events.envelope import SPECVERSION, Envelope, Event, decode_envelope
from libs.events.gallery import GalleryItemsAdded
from libs.events.generation import (
    GenerationCancelRequested,
    GenerationCompleted,
    GenerationFailed,
    GenerationRequested,
    GenerationStarted,
)
from libs.events.identity import DeductionRequested, UserRegistered, WorkspaceCreated
from libs.events.names import EventType
from libs.events.operations import MessageDiscarded, MessageParked, MessageRedriven
from libs.events.payload import Payload
from libs.events.upcasters import UPCASTERS, Upcaster, lift

EVENTS: tuple[type[Payload], ...] = (
    UserRegistered,
    WorkspaceCreated,
    DeductionRequested,
    GenerationRequested,
    GenerationCancelRequested,
    GenerationStarted,
    GenerationCompleted,
    GenerationFailed,
    CreditsGranted,
    CreditsReserved,
    CreditsCaptured,
    CreditsReleased,
    CreditsReclaimed,
    CreditsExpired,
    CreditsForfeited,
    CreditsDebited,
    CreditsDeducted,
    CreditsReversed,
    GraceChanged,
    GalleryItemsAdded,
    UsageRecorded,
    PaymentReceived,
    PaymentRefunded,
    MessageParked,
    MessageRedriven,
    MessageDiscarded,
)


# As text in an indexed column: a longer one, or a NUL in it, could not even be set aside.
NAME_CHARACTERS_MAX = 500


class UndecodableEventError(ValueError):
    """A message is not an event that this release can read; reading it again gives the same.

    `reason` is one of `malformed`, `unknown_type`, `newer_version`, `invalid_data`.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Registry:
    """Decodes events of the given models, lifting older versions on the way."""

    def __init__(
        self,
        models: Iterable[type[Payload]] = EVENTS,
        upcasters: Mapping[tuple[EventType, int], Upcaster] = UPCASTERS,
    ) -> None:
        self.models = {model.event_type: model for model in models}
        self._by_name = {event_type.value: model for event_type, model in self.models.items()}
        self._upcasters = upcasters
        self._decoders: dict[EventType, msgspec.json.Decoder[Any]] = {
            event_type: msgspec.json.Decoder(model) for event_type, model in self.models.items()
        }

    def decode(self, encoded: bytes) -> Event[Payload]:
        """A typed event at its newest version.

        Raises:
            UndecodableEventError: malformed, of an unknown type or a newer version, or with data
            that does not fit.
        """
        return self.open(self.read_envelope(encoded))

    def read_envelope(self, encoded: bytes) -> Envelope:
        """The attributes alone.

        Raises:
            UndecodableEventError: the bytes are not a CloudEvent of ours.
        """
        try:
            envelope = decode_envelope(encoded)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise UndecodableEventError("malformed", str(error)) from error
        if envelope.specversion != SPECVERSION:
            raise UndecodableEventError(
                "malformed", f"CloudEvents {envelope.specversion!r} is not supported"
            )
        for name in (envelope.type, envelope.subject):
            if len(name) > NAME_CHARACTERS_MAX or "\0" in name:
                raise UndecodableEventError("malformed", f"{name[:50]!r} names nothing of ours")
        return envelope

    def open(self, envelope: Envelope) -> Event[Payload]:
        """The typed event in an envelope.

        Raises:
            UndecodableEventError: unknown type, newer version, or data that does not fit.
        """
        return Event(
            id=envelope.id,
            source=envelope.source,
            time=envelope.time,
            correlation_id=envelope.correlationid,
            causation_id=envelope.causationid,
            traceparent=envelope.traceparent,
            data=self._data(envelope),
        )

    def _data(self, envelope: Envelope) -> Payload:
        model = self._by_name.get(envelope.type)
        if model is None:
            raise UndecodableEventError("unknown_type", f"{envelope.type} is not known here")
        newest = model.event_version
        if envelope.eventversion > newest:
            detail = f"{envelope.type} has version {envelope.eventversion}, {newest} is known here"
            raise UndecodableEventError("newer_version", detail)
        try:
            if envelope.eventversion == newest:
                payload: Payload = self._decoders[model.event_type].decode(envelope.data)
                return payload
            old = msgspec.json.decode(envelope.data)
            lifted = lift(old, model.event_type, envelope.eventversion, newest, self._upcasters)
            return msgspec.convert(lifted, model)
        except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, TypeError) as error:
            raise UndecodableEventError("invalid_data", f"{envelope.type}: {error}") from error


REGISTRY = Registry()
