"""What the ledger hears: accounts that open, jobs, deductions and payments."""

from functools import partial

from libs.events.names import EventType, Topic
from libs.runtime.clock import Clock
from libs.runtime.consumer import Handler
from libs.runtime.gathering import Patience
from libs.runtime.ids import Ids
from libs.runtime.recovery import History
from services.ledger import projections
from services.ledger.handlers import booking

TOPICS = (Topic.IDENTITY, Topic.GENERATION, Topic.BILLING)
EVENT_TYPES = (
    EventType.USER_REGISTERED,
    EventType.ACCOUNT_ERASED,
    EventType.WORKSPACE_CREATED,
    EventType.DEDUCTION_REQUESTED,
    EventType.GENERATION_REQUESTED,
    EventType.GENERATION_COMPLETED,
    EventType.GENERATION_FAILED,
    EventType.PAYMENT_RECEIVED,
    EventType.PAYMENT_REFUNDED,
)
# A reservation is known to nobody but the ledger: what a job may cost is held by the gateway. So it
# is booked together with what comes next, and most often with the charge itself.
PATIENCE = Patience(types=frozenset({EventType.GENERATION_REQUESTED}), seconds=0.1)

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
            EventType.CREDITS_DEBITED,
            EventType.CREDITS_DEDUCTED,
        ),
        fold=partial(projections.remember, clock=clock),
    )


def create_handler(clock: Clock, ids: Ids) -> Handler:
    """Books a batch of these events."""
    return partial(booking.book, clock=clock, ids=ids)
