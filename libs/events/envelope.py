"""CloudEvents 1.0 in structured JSON, with our extensions.

Reading is in two steps, because routing and deduplication need only the attributes: `Envelope`
keeps the data raw, and the registry turns it into a typed `Event`. Source: CloudEvents
specification 1.0.2, JSON event format.
"""

from datetime import datetime
from functools import lru_cache
from typing import Generic, TypeVar
from uuid import UUID

import msgspec
from msgspec import Raw, Struct

from libs.events.payload import Moment, Payload

SPECVERSION = "1.0"
DATA_CONTENT_TYPE = "application/json"
_KEY_BYTES = 36  # of an id as text
ENCODED_BYTES_MAX = (
    900_000  # below the broker's message limit, so no outbox row can ever block the relay
)

PayloadT_co = TypeVar("PayloadT_co", bound=Payload, covariant=True)


class Envelope(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The attributes of an event as they stand on the wire, and its data still encoded."""

    specversion: str
    id: UUID
    source: str
    type: str
    subject: str
    time: Moment
    datacontenttype: str
    dataschema: str
    eventversion: int
    correlationid: UUID
    causationid: UUID | None = None
    accountid: UUID | None = None
    traceparent: str | None = None
    data: Raw


class Event(Struct, Generic[PayloadT_co], frozen=True, kw_only=True, gc=False):
    """A typed event at its newest version.

    `correlation_id` is shared by everything that one request of a client caused; `causation_id` is
    the event that caused this one.
    """

    id: UUID
    source: str
    time: datetime
    correlation_id: UUID
    causation_id: UUID | None
    traceparent: str | None
    data: PayloadT_co

    @property
    def subject(self) -> str:
        return self.data.subject

    @property
    def key(self) -> str:
        """Kafka key: the account, so that each account is ordered; without one the subject."""
        account = self.data.account
        return self.data.subject if account is None else str(account)

    def has_key(self, key: bytes | None) -> bool:
        """Whether `key` was published with it: under another it has no order."""
        account = self.data.account
        if account is None or key is None:
            return key == self.key.encode()
        return len(key) == _KEY_BYTES and account.int == _number(key)


@lru_cache(maxsize=4_096)
def _number(key: bytes) -> int | None:
    """The account of a key as a number; None: it is not how an id is written.

    Remembered: a few accounts make most events, and ids are slow to read, write and compare.
    """
    try:
        account = UUID(key.decode())
    except ValueError:
        return None
    return account.int if str(account).encode() == key else None


class EventTooLargeError(ValueError):
    """An event's encoding exceeds `ENCODED_BYTES_MAX`."""

    def __init__(self, event_type: str, size_bytes: int) -> None:
        super().__init__(
            f"{event_type} encodes to {size_bytes} bytes, at most {ENCODED_BYTES_MAX} are allowed"
        )
        self.size_bytes = size_bytes


_encoder = msgspec.json.Encoder()
_envelope_decoder = msgspec.json.Decoder(Envelope)


def encode(event: Event[Payload]) -> bytes:
    """Structured-mode JSON of an event.

    Raises:
        EventTooLargeError: the encoding is larger than any topic would take.
    """
    data = event.data
    envelope = Envelope(
        specversion=SPECVERSION,
        id=event.id,
        source=event.source,
        type=data.event_type.value,
        subject=data.subject,
        time=event.time,
        datacontenttype=DATA_CONTENT_TYPE,
        dataschema=schema_uri(data.event_type.value, data.event_version),
        eventversion=data.event_version,
        correlationid=event.correlation_id,
        causationid=event.causation_id,
        accountid=data.account,
        traceparent=event.traceparent,
        data=Raw(_encoder.encode(data)),
    )
    encoded = _encoder.encode(envelope)
    if len(encoded) > ENCODED_BYTES_MAX:
        raise EventTooLargeError(data.event_type.value, len(encoded))
    return encoded


def decode_envelope(encoded: bytes) -> Envelope:
    """The attributes of a structured-mode JSON event.

    Raises:
        msgspec.MsgspecError: the bytes are not such an event.
    """
    return _envelope_decoder.decode(encoded)


def schema_uri(event_type: str, version: int) -> str:
    """CloudEvents `dataschema` of an event type's version."""
    return f"urn:daygen:event:{event_type}:{version}"
