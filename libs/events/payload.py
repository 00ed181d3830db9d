"""The base of every event's data: a frozen struct that knows its wire name, version and topic."""

from datetime import datetime
from typing import Annotated, ClassVar
from uuid import UUID

from msgspec import Meta, Struct

from libs.events.names import EventType, Service, Topic

# A time without its offset from UTC means another instant to each reader: it is refused.
Moment = Annotated[datetime, Meta(tz=True)]


class Payload(Struct, frozen=True, kw_only=True, gc=False, forbid_unknown_fields=True):
    """Data of one event type at its newest version.

    Amounts are integers: credits, milliseconds, bytes, micro-USD, as the field's last word says.
    `subject` and `account` are abstract. Not by ABCMeta: it makes each `isinstance` of an event
    about twice as dear, and decisions and projections are full of them. A type that lacks one
    fails at its stored sample.
    """

    event_type: ClassVar[EventType]
    event_version: ClassVar[int] = 1
    topic: ClassVar[Topic]
    writers: ClassVar[tuple[Service, ...]]

    @property
    def subject(self) -> str:
        """What it is about: CloudEvents `subject`, and the order key behind a parked event."""
        raise NotImplementedError

    @property
    def account(self) -> UUID | None:
        """Who pays: CloudEvents `accountid`, and the Kafka key (without one, the subject is)."""
        raise NotImplementedError
