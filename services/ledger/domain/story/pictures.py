"""Sentences about pictures: what people have done with them."""

from libs.events.gallery import (
    GalleryItemChanged,
    GalleryItemDeleted,
    GalleryItemLiked,
    GalleryItemUploaded,
    GalleryThumbnailMade,
)
from services.ledger.domain.story.telling import Telling, quoted


def uploaded(event: GalleryItemUploaded, telling: Telling) -> str:
    who = telling.who(event.user_id)
    if event.image is None:
        return f"{who} uploaded a picture of which nothing is left."
    size = f"{event.image.width} x {event.image.height}"
    return f"{who} uploaded picture {event.item_id} ({event.image.content_type}, {size})."


def changed(event: GalleryItemChanged, telling: Telling) -> str:
    seen_by = "everybody sees it" if event.is_public else "nobody else sees it"
    title = quoted(event.title)
    return f"{telling.who(event.user_id)} changed picture {event.item_id}; {seen_by}{title}."


def deleted(event: GalleryItemDeleted, telling: Telling) -> str:
    return f"{telling.who(event.user_id)} deleted picture {event.item_id}."


def liked(event: GalleryItemLiked, telling: Telling) -> str:
    stands = "liked" if event.is_liked else "took back a like of"
    return f"{telling.who(event.user_id)} {stands} picture {event.item_id}."


def thumbnail_made(event: GalleryThumbnailMade, _telling: Telling) -> str:
    if event.thumbnail is None:
        return f"A thumbnail of picture {event.item_id} was made of which nothing is left."
    size = f"{event.thumbnail.width} x {event.thumbnail.height}"
    return f"A thumbnail of picture {event.item_id} was stored ({size})."
