"""A user's pictures, from the event to the list."""

from datetime import timedelta
from typing import Final
from uuid import uuid4

import pytest

from libs.events.envelope import Event, encode
from libs.events.names import Service
from libs.events.payload import Payload
from libs.events.testing import NOW, completed, event, failed, request_facts
from services.gallery.tests.integration.conftest import PUBLIC_BASE_URL, RunningGallery
from services.gallery.tests.integration.support import confirmed, person, until_read


async def test_a_picture_is_listed_once_its_job_is_confirmed(gallery: RunningGallery) -> None:
    request = request_facts(prompt="a lighthouse", model="as-sent")
    image = await gallery.store(b"some bytes", "image/jpeg")
    await gallery.tell(event(completed(request, images=(image,))))
    (added,) = await confirmed(gallery, 1)

    answer = await gallery.get("/api/r2files", person(request.user_id))

    assert answer.status_code == 200
    assert answer.json() == {
        "items": [
            {
                "id": str(added.item_ids[0]),
                "jobId": str(request.job_id),
                "jobType": "IMAGE_GENERATION",
                "fileName": f"daygen-{request.job_id}-1.jpg",
                "fileUrl": f"{PUBLIC_BASE_URL}{gallery.path(image.key)}",
                "fileSize": 10,
                "mimeType": "image/jpeg",
                "width": 1024,
                "height": 1024,
                "aspectRatio": "1:1",
                "thumbnailUrl": None,
                "blurHash": None,
                "title": "",
                "prompt": "a lighthouse",
                "model": "as-sent",
                "isPublic": False,
                "isLiked": False,
                "likeCount": 0,
                "createdAt": "2026-01-02T03:04:05.678901Z",
                "updatedAt": "2026-01-02T03:04:05.678901Z",
            }
        ],
        "nextCursor": None,
    }
    path = answer.json()["items"][0]["fileUrl"].removeprefix(PUBLIC_BASE_URL)
    assert (await gallery.client.get(path)).content == b"some bytes"


async def test_repeats_and_strangers_on_the_stream_leave_one_confirmation_per_job(
    gallery: RunningGallery,
) -> None:
    first, second = completed(), completed(images=(), texts=("x",), delivered_units=1)
    told = event(first)
    unknown = encode(told).replace(b"daygen.generation.completed", b"daygen.generation.sung")

    await gallery.send(encode(told), encode(told), unknown, b"not an event")
    await until_read(gallery, 4)
    await gallery.tell(event(failed()), event(second), event(first), told, event(second))
    await until_read(gallery, 9)

    answers = await confirmed(gallery, 2)
    assert [(each.job_id, len(each.item_ids)) for each in answers] == [
        (first.job_id, 1),
        (second.job_id, 0),
    ]
    listed = await gallery.get("/api/r2files", person(first.request.user_id))
    assert len(listed.json()["items"]) == 1


async def test_a_person_sees_nothing_of_others(gallery: RunningGallery) -> None:
    mine, other = completed(), completed()
    await gallery.tell(event(mine), event(other))
    await confirmed(gallery, 2)

    listed = await gallery.get("/api/r2files", person(mine.request.user_id))
    stranger = await gallery.get("/api/r2files", person(uuid4()))

    assert [item["jobId"] for item in listed.json()["items"]] == [str(mine.job_id)]
    assert stranger.json() == {"items": [], "nextCursor": None}


async def test_pages_follow_each_other_while_pictures_are_added(gallery: RunningGallery) -> None:
    user_id = uuid4()

    def job(pictures: int, seconds: int) -> Event[Payload]:
        request = request_facts(user_id=user_id, units=pictures)
        return event(completed(request), time=NOW + timedelta(seconds=seconds))

    await gallery.tell(job(3, 0), job(2, 1))
    await confirmed(gallery, 2)
    me = person(user_id)
    whole = (await gallery.get("/api/r2files", me)).json()["items"]

    seen: list[str] = []
    query: str | None = "?limit=2"
    while query is not None:
        page = (await gallery.get(f"/api/r2files{query}", me)).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["nextCursor"]
        query = None if cursor is None else f"?limit=2&cursor={cursor}"
        known = len(await confirmed(gallery, 2))
        await gallery.tell(job(1, 60))
        await confirmed(gallery, known + 1)

    assert seen == [item["id"] for item in whole]
    newest_first = [(item["createdAt"], item["id"]) for item in whole]
    assert newest_first == sorted(newest_first, reverse=True)


BAD_QUERIES: Final[list[str]] = ["limit=0", "limit=1001", "limit=x", "cursor=x"]


async def test_a_query_that_makes_no_sense_is_refused(
    gallery: RunningGallery, subtests: pytest.Subtests
) -> None:
    for query in BAD_QUERIES:
        with subtests.test(query):
            answer = await gallery.get(f"/api/r2files?{query}", person(uuid4()))
            assert answer.status_code == 400
            assert isinstance(answer.json()["message"], str)


async def test_only_the_gateway_is_answered(gallery: RunningGallery) -> None:
    assert (await gallery.client.get("/api/r2files")).status_code == 401
    for_another = await gallery.get("/api/r2files", person(uuid4()), audience=Service.BILLING)
    assert for_another.status_code == 401
