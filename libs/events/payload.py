"""The base of every event's data: a frozen struct that knows its wire name, version and topic."""

from typing import ClassVar
from uuid import UUID

from msgspec import Struct

from libs.events.names import EventType, Topic


class Payload(Struct, frozen=True, kw_only=True, gc=False, forbid_unknown_fields=True):
    """Data of one event type at its newest version.

    Amounts are integers: credits, milliseconds, bytes, micro-USD, as the field's last word says.
    """

    event_type: ClassVar[EventType]
    event_version: ClassVar[int] = 1
    topic: ClassVar[Topic]

    @property
    def subject(self) -> str:
        """What it is about: CloudEvents `subject`, and the order key behind a parked event."""
        raise NotImplementedError

    @property
    def account(self) -> UUID | None:
        """Who pays: CloudEvents `accountid`, and the Kafka key (without one, the subject is)."""
        raise NotImplementedError
