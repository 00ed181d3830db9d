"""Which streams the gateway follows, and what of them it folds."""

from functools import partial
from typing import Final

from libs.events.names import EventType, Topic
from libs.runtime.clock import Clock
from libs.runtime.recovery import History
from services.gateway.handlers import history

TOPICS: Final = (Topic.PROGRESS, Topic.GENERATION, Topic.CREDITS, Topic.GALLERY, Topic.BILLING)
# The news of a job come from three services within some milliseconds, and a person reads them.
PACE_SECONDS: Final = 0.04
# What is only told, to whoever listens or by mail: a rebuild makes nothing of it.
NEWS_TYPES: Final = (
    EventType.GENERATION_STARTED,
    EventType.GALLERY_ITEM_UPLOADED,
    EventType.GALLERY_ITEM_CHANGED,
    EventType.GALLERY_ITEM_DELETED,
    EventType.GALLERY_ITEM_LIKED,
    EventType.CREDITS_NOTIFICATION_REQUESTED,
)
EVENT_TYPES: Final = (
    *NEWS_TYPES,
    EventType.GENERATION_COMPLETED,
    EventType.GENERATION_FAILED,
    EventType.CREDITS_GRANTED,
    EventType.CREDITS_CAPTURED,
    EventType.CREDITS_RELEASED,
    EventType.CREDITS_RECLAIMED,
    EventType.CREDITS_EXPIRED,
    EventType.CREDITS_FORFEITED,
    EventType.CREDITS_DEBITED,
    EventType.CREDITS_DEDUCTED,
    EventType.CREDITS_REVERSED,
    EventType.GRACE_CHANGED,
    EventType.GALLERY_ITEMS_ADDED,
    EventType.USAGE_RECORDED,
)


def create_history(clock: Clock) -> History:
    """Prices and accounts, before what was asked for at them and by them."""
    return History(
        own=(Topic.OPERATIONS, Topic.IDENTITY, Topic.GENERATION),
        fold=partial(history.remember, clock=clock),
    )
