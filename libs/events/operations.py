"""Events without an account: what operators and the system itself did."""

from typing import ClassVar
from uuid import UUID

from libs.events.names import EventType, Service, Topic
from libs.events.payload import Payload


class MessageParked(Payload, frozen=True, kw_only=True):
    """A consumer could not handle a message and set it aside; its stream goes on."""

    event_type: ClassVar[EventType] = EventType.MESSAGE_PARKED
    topic: ClassVar[Topic] = Topic.OPERATIONS
    writers: ClassVar[tuple[Service, ...]] = tuple(Service)

    consumer: str
    parked_id: UUID
    message_topic: str
    message_partition: int
    message_offset: int
    reason: str
    detail: str

    @property
    def subject(self) -> str:
        return str(self.parked_id)

    @property
    def account(self) -> None:
        return None
