"""Events of the gallery."""

from typing import ClassVar
from uuid import UUID

from libs.events.generation import JobEvent
from libs.events.names import EventType, Service, Topic


class GalleryItemsAdded(JobEvent, frozen=True, kw_only=True):
    """A completed job's pictures are listed, once per job; one without pictures confirms too."""

    event_type: ClassVar[EventType] = EventType.GALLERY_ITEMS_ADDED
    topic: ClassVar[Topic] = Topic.GALLERY
    writers: ClassVar[tuple[Service, ...]] = (Service.GALLERY,)

    user_id: UUID
    item_ids: tuple[UUID, ...]
