"""What users are told as it happens: kinds of news, and which news follow from a change."""

from enum import StrEnum
from uuid import UUID

from msgspec import Struct

from libs.events.gallery import (
    GalleryItemChanged,
    GalleryItemDeleted,
    GalleryItemEvent,
    GalleryItemLiked,
    GalleryItemUploaded,
)
from services.gateway.domain.jobs import JobState


class FeedKind(StrEnum):
    """Names of the pushed events."""

    JOB_UPDATED = "job.updated"
    ASSET_READY = "asset.ready"
    JOB_COMPLETED = "job.completed"
    JOB_FAILED = "job.failed"
    JOB_CANCELLED = "job.cancelled"
    GALLERY_ADDED = "gallery.added"
    GALLERY_CHANGED = "gallery.changed"
    GALLERY_REMOVED = "gallery.removed"
    BALANCE_CHANGED = "balance.changed"

    @property
    def is_last(self) -> bool:
        """Whether a job's stream ends with it.

        The state does not tell: what is told together, a picture and the end, shares one state.
        """
        return self in {self.JOB_COMPLETED, self.JOB_FAILED, self.JOB_CANCELLED}


class GalleryNews(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The pictures that something has happened to, and the job that made them, if it was one."""

    item_ids: tuple[UUID, ...]
    job_id: UUID | None = None


class FeedEntry(Struct, frozen=True, kw_only=True):
    """Something that a user is told. What a balance is, is read as it is written down."""

    user_id: UUID
    kind: FeedKind
    job_id: UUID | None = None
    body: JobState | GalleryNews | None = None


def news(before: JobState, after: JobState) -> list[FeedKind]:
    """What to tell about a job that went from one state to another."""
    kinds = []
    if after.shown_images and not before.shown_images:
        kinds.append(FeedKind.ASSET_READY)
    if after.is_final and not before.is_final:
        kinds.append(FeedKind(f"job.{after.status.value.lower()}"))
    elif (before.status, before.stage, before.progress) != (
        after.status,
        after.stage,
        after.progress,
    ):
        kinds.append(FeedKind.JOB_UPDATED)
    return kinds


def gallery_news(event: GalleryItemEvent) -> FeedEntry | None:
    """What people are told of what they do with pictures; nothing of those that no list shows."""
    match event:
        case GalleryItemUploaded():
            is_listed = event.image is not None and event.purpose == "upload"
            kind = FeedKind.GALLERY_ADDED if is_listed else None
        case GalleryItemDeleted():
            kind = FeedKind.GALLERY_REMOVED
        case GalleryItemChanged() | GalleryItemLiked():
            kind = FeedKind.GALLERY_CHANGED
        case _:
            kind = None
    if kind is None:
        return None
    body = GalleryNews(item_ids=(event.item_id,))
    return FeedEntry(user_id=event.user_id, kind=kind, body=body)
