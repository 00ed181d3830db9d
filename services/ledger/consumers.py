"""What the ledger hears: accounts that open, and jobs that are asked for and answered."""

from functools import partial

from libs.events.names import EventType, Topic
from libs.runtime.clock import Clock
from libs.runtime.consumer import Handler
from services.ledger import handlers

TOPICS = (Topic.IDENTITY, Topic.GENERATION)
EVENT_TYPES = (
    EventType.USER_REGISTERED,
    EventType.GENERATION_REQUESTED,
    EventType.GENERATION_COMPLETED,
    EventType.GENERATION_FAILED,
)


def create_handler(clock: Clock) -> Handler:
    """Books a batch of these events."""
    return partial(handlers.book, clock=clock)
