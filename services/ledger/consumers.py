"""What the ledger hears: accounts that open, jobs, deductions and payments."""

from functools import partial

from libs.events.names import EventType, Topic
from libs.runtime.clock import Clock
from libs.runtime.consumer import Handler
from libs.runtime.ids import Ids
from services.ledger.handlers import booking

TOPICS = (Topic.IDENTITY, Topic.GENERATION, Topic.BILLING)
EVENT_TYPES = (
    EventType.USER_REGISTERED,
    EventType.WORKSPACE_CREATED,
    EventType.DEDUCTION_REQUESTED,
    EventType.GENERATION_REQUESTED,
    EventType.GENERATION_COMPLETED,
    EventType.GENERATION_FAILED,
    EventType.PAYMENT_RECEIVED,
    EventType.PAYMENT_REFUNDED,
)
_OPENING = "Everything else of an account waits for its opening: correct the cause and redrive."
_PAID = "Money has moved, and its credits must follow: correct the cause and redrive."

NEVER_DISCARDED = {
    EventType.USER_REGISTERED: _OPENING,
    EventType.WORKSPACE_CREATED: _OPENING,
    EventType.PAYMENT_RECEIVED: _PAID,
    EventType.PAYMENT_REFUNDED: _PAID,
    EventType.DEDUCTION_REQUESTED: (
        "The gateway holds its credits until it is booked: correct the cause and redrive."
    ),
    # Without the reservation the job's answer would wait for ever, and its hold stay open.
    EventType.GENERATION_REQUESTED: (
        "The job's answer needs its reservation: correct the cause and redrive."
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


def create_handler(clock: Clock, ids: Ids) -> Handler:
    """Books a batch of these events."""
    return partial(booking.book, clock=clock, ids=ids)
