"""What the ledger hears: accounts that open, and jobs that are asked for and answered."""

from functools import partial

from libs.events.names import EventType, Topic
from libs.runtime.clock import Clock
from libs.runtime.consumer import Handler
from libs.runtime.ids import Ids
from libs.runtime.recovery import History
from services.ledger import projections
from services.ledger.handlers import booking

TOPICS = (Topic.IDENTITY, Topic.GENERATION)
EVENT_TYPES = (
    EventType.USER_REGISTERED,
    EventType.ACCOUNT_ERASED,
    EventType.GENERATION_REQUESTED,
    EventType.GENERATION_COMPLETED,
    EventType.GENERATION_FAILED,
)

NEVER_DISCARDED = {
    EventType.USER_REGISTERED: (
        "Everything else of an account waits for its opening: correct the cause and redrive."
    ),
    EventType.GENERATION_COMPLETED: (
        "A capture cannot be discarded: correct the cause and redrive, or answer it by a "
        "correcting posting."
    ),
    EventType.GENERATION_FAILED: (
        "A release cannot be discarded: correct the cause and redrive, or answer it by a "
        "correcting posting."
    ),
}


def create_history(clock: Clock) -> History:
    """What the ledger has booked, and thereby answered."""
    return History(
        own=(Topic.CREDITS,),
        answers=(
            EventType.CREDITS_GRANTED,
            EventType.CREDITS_RESERVED,
            EventType.CREDITS_CAPTURED,
            EventType.CREDITS_RELEASED,
        ),
        fold=partial(projections.remember, clock=clock),
    )


def create_handler(clock: Clock, ids: Ids) -> Handler:
    """Books a batch of these events."""
    return partial(booking.book, clock=clock, ids=ids)
