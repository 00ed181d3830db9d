"""What the gallery does when other services have spoken: projections, and the answers to them."""

from collections.abc import Sequence

from libs.events.envelope import Event
from libs.events.gallery import GalleryItemsAdded
from libs.events.identity import AccountErased
from libs.events.names import EventType, Topic
from libs.events.payload import Payload
from libs.runtime import erasure
from libs.runtime.db import Transaction
from libs.runtime.recovery import History
from services.gallery import projections, store
from services.gallery.domain import pictures
from services.gallery.store import DOOMED_CHANNEL, THUMBNAILS_CHANNEL

TOPICS = (Topic.IDENTITY, Topic.GENERATION)
EVENT_TYPES = (EventType.ACCOUNT_ERASED, EventType.GENERATION_COMPLETED)
ACTIONS = frozenset(
    {
        EventType.GALLERY_ITEM_UPLOADED,
        EventType.GALLERY_ITEM_CHANGED,
        EventType.GALLERY_ITEM_DELETED,
        EventType.GALLERY_ITEM_LIKED,
        EventType.GALLERY_THUMBNAIL_MADE,
    }
)
"""What the gallery itself says: what people have done, and of what there are thumbnails."""
NEVER_DISCARDED = {
    EventType.GENERATION_COMPLETED: (
        "A job completes only when its pictures are listed: correct the cause and redrive."
    )
}


async def remember(transaction: Transaction, events: Sequence[Event[Payload]]) -> None:
    """Keep what people have done, for the pictures that are yet to be listed again."""
    await _doom(transaction, await store.follow(transaction.connection, events))
    await _want_thumbnails(transaction, [asset.key for asset, _ in pictures.uploads(events)])


async def fold(transaction: Transaction, events: Sequence[Event[Payload]]) -> None:
    """List what was confirmed before."""
    await _add(transaction, events)


HISTORY = History(
    own=(Topic.GALLERY,),
    answers=(EventType.GALLERY_ITEMS_ADDED,),
    fold=remember,
    inputs=(Topic.GENERATION,),
    fold_input=fold,
)


async def take_in(transaction: Transaction, events: Sequence[Event[Payload]]) -> None:
    """List a batch of completed jobs, and confirm each new one: one without pictures too.

    Of whoever is erased nothing is listed any more, and their objects are deleted.
    """
    for event, completed in await _add(transaction, events):
        transaction.publish(
            GalleryItemsAdded(
                job_id=completed.job_id,
                account_id=completed.account_id,
                user_id=completed.request.user_id,
                item_ids=pictures.item_ids(completed),
            ),
            cause=event,
        )
    gone = [event.data.account_id for event in events if isinstance(event.data, AccountErased)]
    if gone:
        await _doom(transaction, await store.remove_accounts(transaction.connection, gone))


async def _add(
    transaction: Transaction, events: Sequence[Event[Payload]]
) -> list[projections.CompletedJob]:
    erased = await erasure.erased(transaction, events)
    shown = [pictures.shown(event, erased) for event in events]
    added = await projections.add_completed_jobs(transaction.connection, shown)
    await _doom(transaction, [*pictures.keys_of(events, erased), *added.freed])
    await _want_thumbnails(
        transaction, [image.key for _, completed in added.jobs for image in completed.images]
    )
    return added.jobs


async def _want_thumbnails(transaction: Transaction, keys: Sequence[str]) -> None:
    """Have thumbnails made, by the worker."""
    if keys:
        await store.want_thumbnails(transaction.connection, keys)
        transaction.wake(THUMBNAILS_CHANNEL)


async def _doom(transaction: Transaction, keys: Sequence[str]) -> None:
    """Have objects deleted, by the worker: nothing here touches storage."""
    if keys:
        await store.doom(transaction.connection, keys)
        transaction.wake(DOOMED_CHANNEL)
