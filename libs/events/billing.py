"""Events of billing: usage and money."""

from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from libs.events.generation import JobEvent
from libs.events.names import EventType, Service, Topic


class UsageOutcome(StrEnum):
    """How the call that a usage row stands for ended."""

    COMPLETED = "completed"
    FAILED = "failed"


class UsageRecorded(JobEvent, frozen=True, kw_only=True):
    """The usage row of a job exists, once per job."""

    event_type: ClassVar[EventType] = EventType.USAGE_RECORDED
    topic: ClassVar[Topic] = Topic.BILLING
    writers: ClassVar[tuple[Service, ...]] = (Service.BILLING,)

    usage_id: UUID
    outcome: UsageOutcome
    credits: int
