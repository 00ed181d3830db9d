"""What the trail keeps of an event: its attributes, who acted for whom, and its data unread."""

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import msgspec
from msgspec import Raw, Struct

from libs.events.envelope import (
    DATA_CONTENT_TYPE,
    SPECVERSION,
    Envelope,
    Event,
    decode_envelope,
    encode,
    schema_uri,
)
from libs.events.payload import Payload
from libs.events.recorded import Recorded

# What a column takes: a sender may write anything, and its event has a row all the same.
_EARLIEST: Final = datetime(1900, 1, 1, tzinfo=UTC)
_VERSION_MAX: Final = 2**31 - 1


class TrailRow(Struct, frozen=True, kw_only=True, gc=False):
    """One event, in the order of the table's columns."""

    event_id: UUID
    occurred_at: datetime
    type: str
    version: int
    source: str
    subject: str
    account_id: UUID | None
    user_id: UUID | None
    workspace_id: UUID | None
    correlation_id: UUID
    causation_id: UUID | None
    data: bytes

    @property
    def envelope(self) -> Envelope:
        """The event as it was, as far as it is kept."""
        return Envelope(
            specversion=SPECVERSION,
            id=self.event_id,
            source=self.source,
            type=self.type,
            subject=self.subject,
            time=self.occurred_at,
            datacontenttype=DATA_CONTENT_TYPE,
            dataschema=schema_uri(self.type, self.version),
            eventversion=self.version,
            correlationid=self.correlation_id,
            causationid=self.causation_id,
            accountid=self.account_id,
            data=Raw(self.data),
        )


class _Actor(Struct, gc=False):
    user_id: UUID | None = None
    workspace_id: UUID | None = None


class _Acting(_Actor, gc=False):
    request: _Actor | None = None


_NOBODY: Final = _Acting()
_read_acting = msgspec.json.Decoder(_Acting).decode


def row_of(event: Event[Payload]) -> TrailRow:
    """An event's row."""
    if isinstance(event.data, Recorded):
        return row_of_envelope(event.data.envelope)
    return row_of_envelope(decode_envelope(encode(event)))


def row_of_envelope(envelope: Envelope) -> TrailRow:
    """The row of what a topic holds."""
    acting = _acting(envelope.data)
    request = acting.request or acting
    return TrailRow(
        event_id=envelope.id,
        occurred_at=max(envelope.time, _EARLIEST),
        type=envelope.type,
        version=max(-_VERSION_MAX, min(envelope.eventversion, _VERSION_MAX)),
        source=envelope.source.replace("\0", "\N{REPLACEMENT CHARACTER}"),
        subject=envelope.subject,
        account_id=envelope.accountid,
        user_id=acting.user_id or request.user_id,
        workspace_id=acting.workspace_id or request.workspace_id,
        correlation_id=envelope.correlationid,
        causation_id=envelope.causationid,
        data=bytes(envelope.data),
    )


def _acting(data: Raw) -> _Acting:
    try:
        return _read_acting(data)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _NOBODY
