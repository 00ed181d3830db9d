"""What people do with pictures: change, publish, like, delete; and what everybody sees of it."""

import asyncio
from datetime import timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import pytest

from libs.events.generation import StoredImage
from libs.events.testing import NOW, completed, event, request_facts, stored_image
from libs.runtime.objects import ObjectNotFound
from services.gallery.tests.integration.conftest import PUBLIC_BASE_URL, RunningGallery
from services.gallery.tests.integration.support import (
    DEADLINE_SECONDS,
    confirmed,
    erase,
    person,
    until_listed,
)

FILES = "/api/r2files"


async def show(
    gallery: RunningGallery, user_id: UUID, *images: StoredImage, seconds: int = 0
) -> list[str]:
    """Pictures of one person's job; answers the ids of their items."""
    request = request_facts(user_id=user_id, units=len(images))
    told = event(completed(request, images=images), time=NOW + timedelta(seconds=seconds))
    await gallery.tell(told)
    await until_listed(gallery, [told])
    listed = await gallery.get(f"{FILES}?jobId={request.job_id}", person(user_id))
    by_url = {item["fileUrl"]: item["id"] for item in listed.json()["items"]}
    return [by_url[f"{PUBLIC_BASE_URL}{gallery.path(image.key)}"] for image in images]


async def listed(gallery: RunningGallery, user_id: UUID, query: str = "") -> list[dict[str, Any]]:
    answer = await gallery.get(f"{FILES}?{query}", person(user_id))
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def publish(gallery: RunningGallery, user_id: UUID, item_id: str) -> None:
    answer = await gallery.call("PATCH", f"{FILES}/{item_id}", person(user_id), {"isPublic": True})
    assert answer.status_code == 200, answer.text


async def is_stored(gallery: RunningGallery, key: str) -> bool:
    try:
        await gallery.bucket.head(key)
    except ObjectNotFound:
        return False
    return True


async def until_gone(gallery: RunningGallery, key: str) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while await is_stored(gallery, key):
            await asyncio.sleep(0.02)


async def test_an_owner_changes_what_a_picture_is_called_and_who_sees_it(
    gallery: RunningGallery,
) -> None:
    me = uuid4()
    image = stored_image(width=1920, height=1080)
    (item_id,) = await show(gallery, me, image)
    wanted = {"isPublic": True, "isLiked": True, "title": " Dusk ", "model": "other"}

    by_id = await gallery.call("PATCH", f"{FILES}/{item_id}", person(me), wanted)
    url = f"{PUBLIC_BASE_URL}/assets/{image.key}"
    by_url = await gallery.call(
        "PATCH", f"{FILES}/by-url", person(me), {"fileUrl": url, "isPublic": False}
    )

    assert by_id.status_code == by_url.status_code == 200
    assert by_id.json() | wanted | {"title": "Dusk", "likeCount": 1} == by_id.json()
    assert by_id.json()["aspectRatio"] == "16:9"
    assert by_url.json() == by_id.json() | {
        "isPublic": False,
        "fileUrl": f"{PUBLIC_BASE_URL}{gallery.path(image.key)}",
        "updatedAt": by_url.json()["updatedAt"],
    }
    assert await listed(gallery, me) == [by_url.json()]
    again = await gallery.call("PATCH", f"{FILES}/{item_id}", person(me), {"isPublic": False})
    assert again.json() == by_url.json()  # nothing new, nothing said
    said = await gallery.count("SELECT count(*) FROM outbox WHERE topic = 'daygen.gallery'")
    assert said == 4  # listed, changed, liked, changed


async def test_filters_and_pages_go_together_where_times_are_equal(
    gallery: RunningGallery,
) -> None:
    me = uuid4()
    ids = await show(gallery, me, *(stored_image() for _ in range(6)))
    (film,) = await show(gallery, me, stored_image(content_type="video/mp4"), seconds=-1)
    for item_id in ids[:3]:
        await publish(gallery, me, item_id)
    await gallery.call("POST", f"{FILES}/{ids[0]}/toggle-like", person(me))

    assert {each["id"] for each in await listed(gallery, me, "isPublic=true")} == set(ids[:3])
    assert [each["id"] for each in await listed(gallery, me, "isLiked=true")] == ids[:1]
    assert [each["id"] for each in await listed(gallery, me, "type=video")] == [film]
    assert await listed(gallery, me, "model=unheard-of") == []
    seen: list[str] = []
    query = "type=image&limit=2"
    while query:
        answer = (await gallery.get(f"{FILES}?{query}", person(me))).json()
        seen += [each["id"] for each in answer["items"]]
        await show(gallery, me, stored_image(), seconds=1)
        cursor = answer["nextCursor"]
        query = f"type=image&limit=2&cursor={cursor}" if cursor else ""
    assert seen == sorted(ids, key=lambda each: UUID(each).int, reverse=True)


CALLS: Final[list[tuple[str, str, dict[str, Any] | None]]] = [
    ("PATCH", "{id}", {"isPublic": True}),
    ("PATCH", "{id}", {"isLiked": True}),
    ("DELETE", "{id}", None),
    ("POST", "{id}/toggle-like", None),
    ("PATCH", "by-url", {"fileUrl": "{url}", "isPublic": True}),
    ("DELETE", "by-url", {"fileUrl": "{url}"}),
]


async def test_pictures_of_others_are_not_there(
    gallery: RunningGallery, subtests: pytest.Subtests
) -> None:
    for method, pattern, body in CALLS:
        with subtests.test(f"{method} {pattern} {body}"):
            owner, image = uuid4(), stored_image()
            (item_id,) = await show(gallery, owner, image)
            url = f"{PUBLIC_BASE_URL}/assets/{image.key}"
            path = pattern.format(id=item_id)
            sent = {k: url if v == "{url}" else v for k, v in body.items()} if body else None

            theirs = await gallery.call(method, f"{FILES}/{path}", person(uuid4()), sent)
            nobody = await gallery.call(method, f"{FILES}/{path}", None, sent)
            other_path = path.replace(item_id, str(uuid4()))
            other_body = (
                {k: f"{v}.none" if v == url else v for k, v in sent.items()} if sent else None
            )
            absent = await gallery.call(method, f"{FILES}/{other_path}", person(owner), other_body)

            assert (theirs.status_code, nobody.status_code, absent.status_code) == (404, 401, 404)
            assert theirs.json()["code"] == absent.json()["code"] == "item_not_found"
            (item,) = await listed(gallery, owner)
            assert (item["isPublic"], item["likeCount"]) == (False, 0)


BAD_CHANGES: Final[list[Any]] = [
    {"isPublic": "perhaps"},
    {"title": "x" * 201},
    {"title": "a\0b"},
    {"title": 7},
    {"model": ""},
    {"model": "\ud800"},
    [],
]


async def test_changes_that_make_no_sense_are_refused(
    gallery: RunningGallery, subtests: pytest.Subtests
) -> None:
    for body in BAD_CHANGES:
        with subtests.test(str(body)[:80]):
            me = uuid4()
            (item_id,) = await show(gallery, me, stored_image())
            before = await listed(gallery, me)
            answer = await gallery.call("PATCH", f"{FILES}/{item_id}", person(me), body)
            assert answer.status_code == 400
            assert isinstance(answer.json()["message"], str)
            assert await listed(gallery, me) == before


async def test_a_deleted_picture_is_gone_with_its_object(gallery: RunningGallery) -> None:
    me = uuid4()
    image, other = await gallery.store(b"one"), await gallery.store(b"two")
    gone, kept = await show(gallery, me, image, other)

    answer = await gallery.call("DELETE", f"{FILES}/{gone}", person(me))

    assert answer.status_code == 200
    assert [item["id"] for item in await listed(gallery, me)] == [kept]
    await until_gone(gallery, image.key)
    assert (await gallery.client.get(gallery.path(image.key))).status_code == 404
    assert await is_stored(gallery, other.key)
    again = await gallery.call("DELETE", f"{FILES}/{gone}", person(me))
    assert again.status_code == 404
    # Told again, the job does not bring it back.
    assert await gallery.count("SELECT count(*) FROM asset") == 1


async def test_a_deletion_breaks_nobody_elses_equal_picture(gallery: RunningGallery) -> None:
    one, two = uuid4(), uuid4()
    equal = await gallery.store(b"the same")
    (mine,) = await show(gallery, one, equal)
    (theirs,) = await show(gallery, two, equal)

    await gallery.call("DELETE", f"{FILES}/{mine}", person(one))

    assert await gallery.count("SELECT count(*) FROM doomed_object") == 0
    assert (await gallery.client.get(gallery.path(equal.key))).content == b"the same"
    await gallery.call("DELETE", f"{FILES}/{theirs}", person(two))
    await until_gone(gallery, equal.key)


async def test_the_last_of_many_who_delete_at_once_frees_the_object(
    gallery: RunningGallery,
) -> None:
    """Each of them sees the others' pictures until those have committed."""
    people = [uuid4() for _ in range(12)]
    equal = await gallery.store(b"the same")
    items = [(each, (await show(gallery, each, equal))[0]) for each in people]

    answers = await asyncio.gather(
        *(gallery.call("DELETE", f"{FILES}/{item}", person(each)) for each, item in items)
    )

    assert {each.status_code for each in answers} == {200}
    assert await gallery.count("SELECT count(*) FROM asset") == 0
    await until_gone(gallery, equal.key)


async def test_an_object_that_a_picture_shows_is_not_deleted_whatever_was_decided(
    gallery: RunningGallery,
) -> None:
    me = uuid4()
    shown, loose, gone = [await gallery.store(content) for content in (b"1", b"2", b"3")]
    _, item_id = await show(gallery, me, shown, gone)
    async with gallery.streams.database.transaction() as transaction:
        await transaction.connection.execute(
            "INSERT INTO doomed_object SELECT unnest($1::text[])", [shown.key, loose.key]
        )
    await gallery.call("DELETE", f"{FILES}/{item_id}", person(me))
    await until_gone(gallery, loose.key)
    assert await is_stored(gallery, shown.key)


async def test_two_hundred_parallel_toggles_count_exactly(gallery: RunningGallery) -> None:
    owner = uuid4()
    (item_id,) = await show(gallery, owner, stored_image())
    await publish(gallery, owner, item_id)
    people = [uuid4() for _ in range(40)]
    # Of each five: an odd number, so each of them likes it in the end.
    toggles = [each for each in people for _ in range(5)]

    answers = await asyncio.gather(
        *(gallery.call("POST", f"{FILES}/{item_id}/toggle-like", person(u)) for u in toggles)
    )

    assert {each.status_code for each in answers} == {200}
    public = (await gallery.client.get(f"{FILES}/public/{item_id}")).json()
    assert public["likeCount"] == len(people)
    by_person: dict[UUID, list[bool]] = {each: [] for each in people}
    for who, answer in zip(toggles, answers, strict=True):
        by_person[who].append(answer.json()["isLiked"])
    assert all(sum(said) == 3 for said in by_person.values())
    # Each answer is a count that was true in between: the last of them is among them.
    assert len(people) in {answer.json()["likeCount"] for answer in answers}


async def test_everybody_sees_what_is_public_and_who_is_logged_in_their_likes(
    gallery: RunningGallery,
) -> None:
    ada, bob, fan = uuid4(), uuid4(), uuid4()
    of_ada = await show(gallery, ada, stored_image(), stored_image(), stored_image())
    (of_bob,) = await show(gallery, bob, stored_image(), seconds=5)
    for owner, item_id in [(ada, of_ada[0]), (ada, of_ada[1]), (bob, of_bob)]:
        await publish(gallery, owner, item_id)
    for liker, item_id in [(fan, of_ada[1]), (bob, of_ada[1]), (fan, of_bob)]:
        await gallery.call("POST", f"{FILES}/{item_id}/toggle-like", person(liker))

    feed = (await gallery.client.get(f"{FILES}/public?limit=2")).json()
    assert feed["totalCount"] == 3
    assert feed["items"][0]["id"] == of_bob
    assert feed["items"][0]["owner"]["authUserId"] == str(bob)
    rest = (await gallery.client.get(f"{FILES}/public?cursor={feed['nextCursor']}")).json()
    seen = [each["id"] for each in (*feed["items"], *rest["items"])]
    assert (sorted(seen), rest["nextCursor"]) == (sorted([*of_ada[:2], of_bob]), None)
    assert not any(each["isLiked"] for each in feed["items"])

    mine = (await gallery.get(f"{FILES}/public/user/{ada}", person(fan))).json()
    assert {each["id"]: each["isLiked"] for each in mine["items"]} == {
        of_ada[0]: False,
        of_ada[1]: True,
    }
    top = (await gallery.client.get(f"{FILES}/public/top-creators?limit=5")).json()
    best = [(each["userId"], each["totalLikes"], each["imageCount"]) for each in top["creators"]]
    assert best == [(str(ada), 2, 2), (str(bob), 1, 1)]
    one = (await gallery.client.get(f"{FILES}/public/{of_ada[1]}")).json()
    assert one["fileUrl"] == top["creators"][0]["bestImage"]
    hidden = await gallery.client.get(f"{FILES}/public/{of_ada[2]}")
    assert (hidden.status_code, hidden.json()["code"]) == (404, "item_not_found")


async def test_whoever_is_erased_likes_nothing_and_can_do_nothing_any_more(
    gallery: RunningGallery,
) -> None:
    owner, fan = uuid4(), uuid4()
    (item_id,) = await show(gallery, owner, stored_image())
    await publish(gallery, owner, item_id)
    for liker in (owner, fan):
        await gallery.call("POST", f"{FILES}/{item_id}/toggle-like", person(liker))
    await erase(gallery, fan)
    async with asyncio.timeout(DEADLINE_SECONDS):
        while (await gallery.client.get(f"{FILES}/public/{item_id}")).json()["likeCount"] != 1:
            await asyncio.sleep(0.02)
    late = await gallery.call("POST", f"{FILES}/{item_id}/toggle-like", person(fan))
    assert late.status_code == 404
    assert len(await confirmed(gallery, 1)) == 1
