"""Pictures as lists show them."""

from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from msgspec import Struct

# What clients offer; a picture is called after the nearest if it is as good as that.
_RATIOS: Final = (
    (1, 1), (4, 3), (3, 4), (3, 2), (2, 3), (16, 9), (9, 16), (5, 4), (4, 5), (21, 9), (2, 1),
    (1, 2),
)  # fmt: skip
_NEAR: Final = 0.03


class Filters(Struct, frozen=True, kw_only=True, gc=False):
    """Which of one's own pictures to list; None asks for nothing."""

    kind: Literal["image", "video"] | None = None
    model: str | None = None
    is_public: bool | None = None
    is_liked: bool | None = None
    job_id: UUID | None = None


class ListedItem(Struct, frozen=True, kw_only=True, gc=False):
    """An item with what a list tells of its object, and of the one who looks at it."""

    id: UUID
    user_id: UUID
    job_id: UUID | None
    asset_key: str
    file_name: str
    operation: str
    model: str
    prompt: str
    title: str
    is_public: bool
    like_count: int
    is_liked: bool
    created_at: datetime
    updated_at: datetime
    content_type: str
    size_bytes: int
    width: int
    height: int
    thumbnail_key: str | None  # none yet, or of what none is made
    blur_hash: str | None


class Creator(Struct, frozen=True, kw_only=True, gc=False):
    """Somebody with public pictures."""

    user_id: UUID
    total_likes: int
    image_count: int
    best_key: str


def aspect_ratio(width: int, height: int) -> str:
    """As `16:9`: the nearest that has a name, else the sides themselves."""
    ratio = width / height
    across, down = min(_RATIOS, key=lambda each: abs(each[0] / each[1] / ratio - 1))
    if abs(across / down / ratio - 1) <= _NEAR:
        return f"{across}:{down}"
    return f"{width}:{height}"
