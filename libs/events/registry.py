"""Every event there is: (type, version) -> model. Anything else is an explicit, typed refusal."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from libs.events.billing import (
    PaymentReceived,
    PaymentRefunded,
    ProviderBillImported,
    UsageRecorded,
)
from libs.events.credits import (
    CreditsCaptured,
    CreditsDebited,
    CreditsDeducted,
    CreditsExpired,
    CreditsForfeited,
    CreditsGranted,
    CreditsNotificationRequested,
    CreditsReclaimed,
    CreditsReleased,
    CreditsReserved,
    CreditsReversed,
    GraceChanged,
)
from libs.events.envelope import (
    ENCODED_BYTES_MAX,
    SPECVERSION,
    Envelope,
    Event,
    decode_envelope,
)
from libs.events.gallery import (
    GalleryItemChanged,
    GalleryItemDeleted,
    GalleryItemLiked,
    GalleryItemsAdded,
    GalleryItemUploaded,
    GalleryThumbnailMade,
)
from libs.events.generation import (
    GenerationAttemptEnded,
    GenerationCancelRequested,
    GenerationCompleted,
    GenerationFailed,
    GenerationRequested,
    GenerationStarted,
)
from libs.events.identity import (
    AccountErased,
    ApiKeyCreated,
    ApiKeyRevoked,
    DeductionRequested,
    LimitChanged,
    SessionsRevoked,
    UserBanned,
    UserRegistered,
    UserUnbanned,
    WorkspaceCreated,
)
from libs.events.names import EventType
from libs.events.operations import (
    LogSealed,
    MessageDiscarded,
    MessageParked,
    MessageRedriven,
    PriceBookAdded,
    ProviderCircuitChanged,
)
from libs.events.payload import Payload
from libs.events.upcasters import UPCASTERS, Upcaster, lift

EVENTS: tuple[type[Payload], ...] = (
    UserRegistered,
    AccountErased,
    UserBanned,
    UserUnbanned,
    SessionsRevoked,
    ApiKeyCreated,
    ApiKeyRevoked,
    LimitChanged,
    WorkspaceCreated,
    DeductionRequested,
    GenerationRequested,
    GenerationCancelRequested,
    GenerationStarted,
    GenerationAttemptEnded,
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
    CreditsNotificationRequested,
    GalleryItemsAdded,
    GalleryItemUploaded,
    GalleryItemChanged,
    GalleryItemDeleted,
    GalleryItemLiked,
    GalleryThumbnailMade,
    UsageRecorded,
    ProviderCircuitChanged,
    PaymentReceived,
    PaymentRefunded,
    MessageParked,
    MessageRedriven,
    MessageDiscarded,
    PriceBookAdded,
    LogSealed,
    ProviderBillImported,
)


# As text in an indexed column: a longer one, or a NUL in it, could not even be set aside.
NAME_CHARACTERS_MAX = 500


class UndecodableEventError(ValueError):
    """A message is not an event that this release can read; reading it again gives the same.

    `reason` is one of `malformed`, `unknown_type`, `newer_version`, `invalid_data`, `too_large`,
    `future_time`, `wrong_key`.
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
        # By plain text: an enumeration's member is slow to look up.
        self._decoders: dict[str, msgspec.json.Decoder[Any]] = {
            name: msgspec.json.Decoder(model) for name, model in self._by_name.items()
        }

    def decode(self, encoded: bytes, *, latest: datetime | None = None) -> Event[Payload]:
        """A typed event at its newest version; see `open`.

        Raises:
            UndecodableEventError: malformed, of an unknown type or a newer version, from after
            `latest`, or with data that is too large or does not fit.
        """
        return self.open(self.read_envelope(encoded), latest=latest)

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
        if envelope.type not in self._by_name:
            _require_name(envelope.type)
        _require_name(envelope.subject)
        return envelope

    def open(self, envelope: Envelope, *, latest: datetime | None = None) -> Event[Payload]:
        """The typed event in an envelope. It must not be from after `latest`, if that is given.

        Raises:
            UndecodableEventError: unknown type, newer version, from the future, or data that is too
            large or does not fit.
        """
        if latest is not None and envelope.time > latest:
            raise UndecodableEventError(
                "future_time",
                f"it says that it is of {envelope.time.isoformat()}: set the sender's clock right",
            )
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
        if len(envelope.data) > ENCODED_BYTES_MAX:
            detail = f"{len(envelope.data)} bytes of data, at most {ENCODED_BYTES_MAX} are allowed"
            raise UndecodableEventError("too_large", detail)
        newest = model.event_version
        if envelope.eventversion > newest:
            detail = f"{envelope.type} has version {envelope.eventversion}, {newest} is known here"
            raise UndecodableEventError("newer_version", detail)
        try:
            if envelope.eventversion == newest:
                payload: Payload = self._decoders[envelope.type].decode(envelope.data)
                return payload
            old = msgspec.json.decode(envelope.data)
            lifted = lift(old, model.event_type, envelope.eventversion, newest, self._upcasters)
            return msgspec.convert(lifted, model)
        except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, TypeError) as error:
            raise UndecodableEventError("invalid_data", f"{envelope.type}: {error}") from error


def _require_name(name: str) -> None:
    if len(name) > NAME_CHARACTERS_MAX or "\0" in name:
        raise UndecodableEventError("malformed", f"{name[:50]!r} names nothing of ours")


REGISTRY = Registry()
