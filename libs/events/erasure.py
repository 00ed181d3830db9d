"""What an event is without the words of its person: for whoever was erased."""

from typing import TypeVar

from msgspec.structs import replace

from libs.events.envelope import Event
from libs.events.gallery import (
    GalleryItemChanged,
    GalleryItemLiked,
    GalleryItemUploaded,
    GalleryThumbnailMade,
)
from libs.events.generation import (
    GenerationCompleted,
    GenerationFailed,
    GenerationRequested,
    RequestFacts,
)
from libs.events.payload import Payload

PayloadT = TypeVar("PayloadT", bound=Payload)


def without_text(event: Event[PayloadT]) -> Event[PayloadT]:
    """The event, its person's words blank. Ids, amounts and times stay: the books need them."""
    return replace(event, data=_blank(event.data))


def without_person(event: Event[PayloadT]) -> Event[PayloadT]:
    """The event without words and pictures: what a reader may know of whoever was erased."""
    event = without_text(event)
    if isinstance(event.data, GenerationCompleted):
        return replace(event, data=replace(event.data, images=()))
    if isinstance(event.data, GalleryItemUploaded):
        return replace(event, data=replace(event.data, image=None))
    if isinstance(event.data, GalleryThumbnailMade):
        return replace(event, data=replace(event.data, thumbnail=None))
    return event


def facts_without_text(request: RequestFacts) -> RequestFacts:
    """What was asked and at what price, without the words; options may hold some, too."""
    return replace(request, prompt="", options={})


def _blank(data: PayloadT) -> PayloadT:
    match data:
        case GenerationRequested():
            return replace(data, request=facts_without_text(data.request))
        case GenerationCompleted():
            return replace(data, request=facts_without_text(data.request), texts=())
        case GenerationFailed():  # a provider's message may quote the prompt
            request = data.request and facts_without_text(data.request)
            return replace(data, request=request, message="")
        case _:
            return _blank_of_gallery(data)


def _blank_of_gallery(data: PayloadT) -> PayloadT:
    match data:
        case GalleryItemUploaded():
            return replace(data, file_name="", prompt="", model="")
        case GalleryItemChanged():
            return replace(data, title="", model="")
        case GalleryItemLiked():  # a taste is as personal as a word
            return replace(data, is_liked=False)
        case GalleryThumbnailMade():  # it is the picture, in a few colours
            return replace(data, blur_hash="")
        case _:
            return data
