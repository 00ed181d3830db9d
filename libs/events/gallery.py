"""Events of the gallery: what a job has left there, and what people have done with it since."""

from typing import ClassVar
from uuid import UUID

from libs.events.generation import JobEvent, StoredImage
from libs.events.names import EventType, Service, Topic
from libs.events.payload import Payload


class GalleryItemsAdded(JobEvent, frozen=True, kw_only=True):
    """A completed job's pictures are listed, once per job; one without pictures confirms too."""

    event_type: ClassVar[EventType] = EventType.GALLERY_ITEMS_ADDED
    topic: ClassVar[Topic] = Topic.GALLERY
    writers: ClassVar[tuple[Service, ...]] = (Service.GALLERY,)

    user_id: UUID
    item_ids: tuple[UUID, ...]


class GalleryItemEvent(Payload, frozen=True, kw_only=True):
    """Somebody did something with a picture."""

    topic: ClassVar[Topic] = Topic.GALLERY
    writers: ClassVar[tuple[Service, ...]] = (Service.GALLERY,)

    item_id: UUID
    account_id: UUID
    user_id: UUID  # who did it

    @property
    def subject(self) -> str:
        return str(self.item_id)

    @property
    def account(self) -> UUID:
        return self.account_id


class GalleryItemUploaded(GalleryItemEvent, frozen=True, kw_only=True):
    """A picture came from a person and not from a job. Without an image nothing of it is left."""

    event_type: ClassVar[EventType] = EventType.GALLERY_ITEM_UPLOADED

    workspace_id: UUID | None = None
    image: StoredImage | None
    purpose: str  # `upload`, or `profile` for a picture of the person, which no list shows
    file_name: str
    prompt: str
    model: str


class GalleryItemFact(GalleryItemEvent, frozen=True, kw_only=True):
    """Something that may change again: `version` counts, and the newest holds."""

    version: int  # from 1 on


class GalleryItemChanged(GalleryItemFact, frozen=True, kw_only=True):
    """What a picture's owner says of it from now on: all of it, not what is new."""

    event_type: ClassVar[EventType] = EventType.GALLERY_ITEM_CHANGED

    job_id: UUID | None = None
    is_public: bool
    title: str
    model: str


class GalleryItemDeleted(GalleryItemFact, frozen=True, kw_only=True):
    """The owner has thrown a picture away. Its object goes when no other picture shows it."""

    event_type: ClassVar[EventType] = EventType.GALLERY_ITEM_DELETED

    job_id: UUID | None = None


class GalleryItemLiked(GalleryItemFact, frozen=True, kw_only=True):
    """Somebody likes a picture, or no longer does. The account is theirs, not the picture's."""

    event_type: ClassVar[EventType] = EventType.GALLERY_ITEM_LIKED

    is_liked: bool


class GalleryThumbnailMade(Payload, frozen=True, kw_only=True):
    """A small copy of an object is stored, and its colours are known, before it is loaded.

    It is of the object, so of every picture that shows it; `item_id` is the first of them, and the
    account is that one's. Without a thumbnail nothing of it is left.
    """

    event_type: ClassVar[EventType] = EventType.GALLERY_THUMBNAIL_MADE
    topic: ClassVar[Topic] = Topic.GALLERY
    writers: ClassVar[tuple[Service, ...]] = (Service.GALLERY,)

    asset_key: str
    item_id: UUID
    account_id: UUID
    thumbnail: StoredImage | None
    blur_hash: str  # https://blurha.sh

    @property
    def subject(self) -> str:
        return str(self.item_id)

    @property
    def account(self) -> UUID:
        return self.account_id
