"""Which news follow from events."""

from typing import Any
from uuid import uuid4

from libs.events.gallery import (
    GalleryItemChanged,
    GalleryItemDeleted,
    GalleryItemLiked,
    GalleryItemUploaded,
)
from libs.events.payload import Payload
from libs.events.testing import NOW, stored_image
from services.gateway.domain.books import Books
from services.gateway.domain.feed import FeedEntry, FeedKind, GalleryNews
from services.gateway.tests.stories import account_with, captured


def told(books: Books, *events: Payload) -> list[FeedKind]:
    """The kinds of what a batch has to tell."""
    for data in events:
        books.apply(data, NOW)
    return [entry.kind for entry in books.feed()]


def test_a_release_gives_credits_back_and_says_so() -> None:
    story = account_with("failed")
    kinds = told(story.books(), *(said.data for said in story.events))
    assert kinds == [FeedKind.BALANCE_CHANGED, FeedKind.JOB_FAILED]


def test_a_capture_is_told_though_what_is_offered_stays() -> None:
    story = account_with("completed")
    (job_id,) = story.jobs
    books = story.books()
    (copy,) = books.accounts.values()
    whole = captured(story.account_id, job_id, version=1, settled=copy.settled - copy.held)
    assert FeedKind.BALANCE_CHANGED in told(books, whole)


def test_what_is_done_with_pictures_is_told_to_who_does_it() -> None:
    item_id, user_id = uuid4(), uuid4()
    who: dict[str, Any] = {"item_id": item_id, "account_id": user_id, "user_id": user_id}
    upload: dict[str, Any] = {**who, "file_name": "fox.png", "prompt": "", "model": ""}
    picture = stored_image(b"png", key="uploads/fox.png")
    events = {
        GalleryItemUploaded(**upload, image=picture, purpose="upload"): FeedKind.GALLERY_ADDED,
        GalleryItemUploaded(**upload, image=picture, purpose="profile"): None,
        GalleryItemUploaded(**upload, image=None, purpose="upload"): None,
        GalleryItemChanged(**who, version=1, is_public=True, title="", model=""): (
            FeedKind.GALLERY_CHANGED
        ),
        GalleryItemLiked(**who, version=1, is_liked=True): FeedKind.GALLERY_CHANGED,
        GalleryItemDeleted(**who, version=2): FeedKind.GALLERY_REMOVED,
    }
    for event, kind in events.items():
        books = Books({}, [])
        books.apply(event, NOW)
        body = GalleryNews(item_ids=(item_id,))
        expected = [] if kind is None else [FeedEntry(user_id=user_id, kind=kind, body=body)]
        assert books.feed() == expected
