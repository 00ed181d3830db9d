"""What the gallery does when other services have spoken: projections, and the answers to them."""

from collections.abc import Sequence

from libs.events.envelope import Event
from libs.events.gallery import GalleryItemsAdded
from libs.events.names import EventType, Topic
from libs.events.payload import Payload
from libs.runtime.db import Transaction
from libs.runtime.recovery import History
from services.gallery import projections
from services.gallery.domain import pictures

TOPICS = (Topic.GENERATION,)
EVENT_TYPES = (EventType.GENERATION_COMPLETED,)
NEVER_DISCARDED = {
    EventType.GENERATION_COMPLETED: (
        "A job completes only when its pictures are listed: correct the cause and redrive."
    )
}


async def fold(transaction: Transaction, events: Sequence[Event[Payload]]) -> None:
    """List what was confirmed before."""
    await projections.add_completed_jobs(transaction.connection, events)


HISTORY = History(
    own=(Topic.GALLERY,),
    answers=(EventType.GALLERY_ITEMS_ADDED,),
    inputs=(Topic.GENERATION,),
    fold_input=fold,
)


async def take_in(transaction: Transaction, events: Sequence[Event[Payload]]) -> None:
    """List a batch of completed jobs, and confirm each new one: one without pictures too."""
    added = await projections.add_completed_jobs(transaction.connection, events)
    for event, completed in added:
        transaction.publish(
            GalleryItemsAdded(
                job_id=completed.job_id,
                account_id=completed.account_id,
                user_id=completed.request.user_id,
                item_ids=pictures.item_ids(completed),
            ),
            cause=event,
        )
