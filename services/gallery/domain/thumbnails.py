"""Small copies of pictures: of what, how small, and what is known of them."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final
from uuid import UUID

from msgspec import Struct

from libs.events.envelope import Event
from libs.events.gallery import GalleryThumbnailMade
from libs.events.payload import Payload

PREFIX: Final = "thumbnails/"
CONTENT_TYPE: Final = "image/webp"
TYPES: Final = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})
SIDE_PIXELS_MAX: Final = 512  # a tile of 256 points on a screen of two pixels a point
SOURCE_BYTES_MAX: Final = 64_000_000
SOURCE_PIXELS_MAX: Final = 100_000_000


class Thumbnail(Struct, frozen=True, kw_only=True, gc=False):
    """A small copy of an object."""

    asset_key: str
    item_id: UUID
    account_id: UUID
    key: str
    sha256: str
    size_bytes: int
    width: int
    height: int
    blur_hash: str
    made_at: datetime


class Shrunk(Struct, frozen=True, kw_only=True, gc=False):
    """A picture made small: its bytes as WebP, its sides, its colours."""

    content: bytes
    width: int
    height: int
    blur_hash: str


def key_of(attempt_id: UUID) -> str:
    """Each attempt has an object of its own, so none is ever written or deleted for another."""
    return f"{PREFIX}{attempt_id}.webp"


def newest(events: Iterable[Event[Payload]]) -> list[Thumbnail]:
    """The thumbnails that were told, the last of each object; of whoever is erased there is none.

    Two are told of one object only where a database was lost between them.
    """
    found: dict[str, Thumbnail] = {}
    for event in events:
        data = event.data
        if not isinstance(data, GalleryThumbnailMade) or data.thumbnail is None:
            continue
        image = data.thumbnail
        made = Thumbnail(
            asset_key=data.asset_key,
            item_id=data.item_id,
            account_id=data.account_id,
            key=image.key,
            sha256=image.sha256,
            size_bytes=image.size_bytes,
            width=image.width,
            height=image.height,
            blur_hash=data.blur_hash,
            made_at=event.time,
        )
        if made.made_at >= found.setdefault(made.asset_key, made).made_at:
            found[made.asset_key] = made
    return [found[key] for key in sorted(found)]
