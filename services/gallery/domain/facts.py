"""What people do with pictures: who may, and what follows. The newest version of a fact holds."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from libs.events.envelope import Event
from libs.events.gallery import GalleryItemChanged, GalleryItemDeleted, GalleryItemLiked
from libs.events.payload import Payload

TITLE_CHARACTERS_MAX = 200
MODEL_CHARACTERS_MAX = 100


class ItemFact(Struct, frozen=True, kw_only=True, gc=False):
    """What its owner has made of a picture."""

    item_id: UUID
    account_id: UUID
    job_id: UUID | None
    version: int
    is_public: bool
    title: str
    model: str
    is_deleted: bool
    changed_at: datetime


class Like(Struct, frozen=True, kw_only=True, gc=False):
    """Whether somebody likes a picture."""

    item_id: UUID
    user_id: UUID
    version: int
    is_liked: bool


class Standing(Struct, frozen=True, kw_only=True, gc=False):
    """A picture as somebody sees it, with the versions of what is known of it."""

    id: UUID
    account_id: UUID
    user_id: UUID
    job_id: UUID | None
    is_public: bool
    title: str
    model: str
    like_count: int
    version: int
    like_version: int
    is_liked: bool

    def is_shown_to(self, viewer_id: UUID) -> bool:
        """Whether somebody may know that it is there."""
        return self.is_public or self.user_id == viewer_id


class Changes(Struct, frozen=True, kw_only=True, gc=False):
    """What an owner wants changed; None stays as it is."""

    is_public: bool | None = None
    title: str | None = None
    model: str | None = None


def changed(item: Standing, changes: Changes, user_id: UUID) -> GalleryItemChanged | None:
    """What is to be told; None if all of it is so already."""
    is_public = item.is_public if changes.is_public is None else changes.is_public
    title = item.title if changes.title is None else changes.title
    model = item.model if changes.model is None else changes.model
    if (is_public, title, model) == (item.is_public, item.title, item.model):
        return None
    return GalleryItemChanged(
        item_id=item.id,
        account_id=item.account_id,
        user_id=user_id,
        version=item.version + 1,
        job_id=item.job_id,
        is_public=is_public,
        title=title,
        model=model,
    )


def deleted(item: Standing, user_id: UUID) -> GalleryItemDeleted:
    return GalleryItemDeleted(
        item_id=item.id,
        account_id=item.account_id,
        user_id=user_id,
        version=item.version + 1,
        job_id=item.job_id,
    )


def liked(item: Standing, user_id: UUID, *, is_liked: bool) -> GalleryItemLiked | None:
    """What is to be told; None if it is so already. A person's own account has their id."""
    if item.is_liked == is_liked:
        return None
    return GalleryItemLiked(
        item_id=item.id,
        account_id=user_id,
        user_id=user_id,
        version=item.like_version + 1,
        is_liked=is_liked,
    )


def all_facts(events: Iterable[Event[Payload]]) -> list[ItemFact]:
    """All that owners have said, in the order of the events."""
    found: list[ItemFact] = []
    for event in events:
        match event.data:
            case GalleryItemChanged() as data:
                fact = _fact(
                    data, event.time, is_public=data.is_public, title=data.title, model=data.model
                )
            case GalleryItemDeleted() as data:
                fact = _fact(data, event.time, is_deleted=True)
            case _:
                continue
        found.append(fact)
    return found


def newest_facts(facts: Iterable[ItemFact]) -> list[ItemFact]:
    """What owners have said last, by picture."""
    found: dict[UUID, ItemFact] = {}
    for fact in facts:
        if fact.version > found.setdefault(fact.item_id, fact).version:
            found[fact.item_id] = fact
    return [found[item_id] for item_id in sorted(found)]


def _fact(
    data: GalleryItemChanged | GalleryItemDeleted,
    changed_at: datetime,
    *,
    is_public: bool = False,
    title: str = "",
    model: str = "",
    is_deleted: bool = False,
) -> ItemFact:
    return ItemFact(
        item_id=data.item_id,
        account_id=data.account_id,
        job_id=data.job_id,
        version=data.version,
        is_public=is_public,
        title=title,
        model=model,
        is_deleted=is_deleted,
        changed_at=changed_at,
    )


def all_likes(events: Iterable[Event[Payload]]) -> list[tuple[Like, datetime]]:
    """All that people have said of liking pictures, each with when."""
    return [
        (
            Like(
                item_id=event.data.item_id,
                user_id=event.data.user_id,
                version=event.data.version,
                is_liked=event.data.is_liked,
            ),
            event.time,
        )
        for event in events
        if isinstance(event.data, GalleryItemLiked)
    ]


def newest_likes(likes: Iterable[Like]) -> list[Like]:
    """What people have said last of liking a picture."""
    found: dict[tuple[UUID, UUID], Like] = {}
    for like in likes:
        key = (like.item_id, like.user_id)
        if like.version > found.setdefault(key, like).version:
            found[key] = like
    return [found[key] for key in sorted(found)]
