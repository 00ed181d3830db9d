"""Changes, deletions and likes: decided under the picture's lock, told, and written as told."""

from uuid import UUID

from msgspec import Struct

from libs.events.gallery import GalleryItemEvent
from libs.runtime import erasure
from libs.runtime.auth import Principal
from libs.runtime.db import Database, Transaction
from libs.runtime.errors import NotFound
from services.gallery import store
from services.gallery.domain import facts
from services.gallery.domain.facts import Changes, Standing
from services.gallery.domain.listing import ListedItem
from services.gallery.store import DOOMED_CHANNEL


class ItemNotFound(NotFound):
    """Absent, deleted, or somebody else's: which of them is nobody's business."""

    code = "item_not_found"

    def __init__(self) -> None:
        super().__init__("There is no such picture: list the gallery again.")


class Liked(Struct, frozen=True):
    """How a picture stands after a like."""

    like_count: int
    is_liked: bool


class Items:
    """What a person may do with pictures."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def change(
        self, caller: Principal, item_id: UUID, changes: Changes, *, is_liked: bool | None = None
    ) -> ListedItem:
        """Change what an own picture is called, who sees it, and whether its owner likes it.

        Raises:
            ItemNotFound: it is not there, or not theirs.
        """
        user_id = caller.user_id
        async with self._database.transaction() as transaction:
            item = await _own(transaction, item_id, user_id)
            await _tell(transaction, facts.changed(item, changes, user_id))
            if is_liked is not None:
                await _tell(transaction, facts.liked(item, user_id, is_liked=is_liked))
            shown = await store.find_item(transaction.connection, item_id, user_id)
        if shown is None:
            raise ItemNotFound
        return shown

    async def delete(self, caller: Principal, item_id: UUID) -> None:
        """Throw an own picture away, and its object unless another picture shows it.

        Raises:
            ItemNotFound: it is not there, or not theirs.
        """
        async with self._database.transaction() as transaction:
            item = await _own(transaction, item_id, caller.user_id)
            await _tell(transaction, facts.deleted(item, caller.user_id))

    async def toggle_like(self, caller: Principal, item_id: UUID) -> Liked:
        """Like a picture that one may see, or no longer.

        Raises:
            ItemNotFound: it is not there, or not public.
        """
        async with self._database.transaction() as transaction:
            item = await _standing(transaction, item_id, caller.user_id)
            if not item.is_shown_to(caller.user_id):
                raise ItemNotFound
            is_liked = not item.is_liked
            await _tell(transaction, facts.liked(item, caller.user_id, is_liked=is_liked))
        return Liked(item.like_count + (1 if is_liked else -1), is_liked)

    async def find(self, caller: Principal, key: str) -> UUID:
        """The caller's newest picture that shows an object.

        Raises:
            ItemNotFound: there is none.
        """
        async with self._database.read() as connection:
            item_id = await store.find_by_key(connection, key, caller.user_id)
        if item_id is None:
            raise ItemNotFound
        return item_id


async def _own(transaction: Transaction, item_id: UUID, user_id: UUID) -> Standing:
    item = await _standing(transaction, item_id, user_id)
    if item.user_id != user_id:
        raise ItemNotFound
    return item


async def _standing(transaction: Transaction, item_id: UUID, user_id: UUID) -> Standing:
    """The picture, locked. Whoever is erased finds none: their last token may outlive them."""
    if await erasure.is_erased(transaction, user_id):
        raise ItemNotFound
    item = await store.find_standing(transaction.connection, item_id, user_id)
    if item is None:
        raise ItemNotFound
    return item


async def _tell(transaction: Transaction, data: GalleryItemEvent | None) -> None:
    """Say what was done, and write it as every later reader of it will."""
    if data is None:
        return
    event = transaction.publish(data)
    freed = await store.follow(transaction.connection, [event])
    if freed:
        await store.doom(transaction.connection, freed, told_by=event.id)
        transaction.wake(DOOMED_CHANNEL)
