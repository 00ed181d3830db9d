"""The list of pictures as it stood: what it answered then, whatever was done since."""

import asyncio
from datetime import UTC, datetime
from random import Random
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

from libs.events.testing import completed, event, request_facts, stored_image
from libs.runtime.testing import rebuilt
from services.gallery.rebuild import PROJECTION
from services.gallery.tests.integration.conftest import RunningGallery
from services.gallery.tests.integration.support import DEADLINE_SECONDS, erase, person, until_listed

FILES = "/api/r2files"
Items = list[dict[str, Any]]


async def listed(gallery: RunningGallery, user_id: UUID, **asked: str) -> Items:
    query = "&".join(f"{name}={quote(value)}" for name, value in asked.items())
    answer = await gallery.get(f"{FILES}?{query}", person(user_id))
    assert answer.status_code == 200, answer.text
    items: Items = answer.json()["items"]
    return items


async def shown(gallery: RunningGallery, user_id: UUID) -> None:
    """Two pictures more, of now."""
    request = request_facts(user_id=user_id, units=2)
    images = (stored_image(width=64), stored_image(b"a shared one"))
    told = event(completed(request, images=images), time=gallery.streams.clock.now())
    await gallery.tell(told)
    await until_listed(gallery, [told])


async def done(gallery: RunningGallery, random: Random, me: UUID, other: UUID, item: str) -> None:
    """Something that people do with a picture."""
    match random.randrange(6):
        case 0:
            await gallery.call("DELETE", f"{FILES}/{item}", person(me))
        case 1:
            path = f"{FILES}/{item}/toggle-like"
            await gallery.call("POST", path, person(random.choice((me, other))))
        case 2:
            wanted = {"isPublic": random.random() < 0.7}
            await gallery.call("PATCH", f"{FILES}/{item}", person(me), wanted)
        case number:
            named = {"title": f"title {random.random()}", "model": f"model {number}"}
            await gallery.call("PATCH", f"{FILES}/{item}", person(me), named)


async def history(gallery: RunningGallery, me: UUID, seed: int) -> list[tuple[datetime, Items]]:
    """What the list was after each of many doings."""
    random, other = Random(seed), uuid4()
    then = [(gallery.streams.clock.now(), await listed(gallery, me))]
    for number in range(30):
        items = then[-1][1]
        if number % 10 == 0 or not items:
            await shown(gallery, me)
        else:
            await done(gallery, random, me, other, random.choice(items)["id"])
        items = await listed(gallery, me)
        then.append((gallery.streams.clock.now(), items))
    return then


async def test_the_list_of_any_time_is_what_it_was_then(gallery: RunningGallery) -> None:
    me = uuid4()
    then = await history(gallery, me, 5)
    assert len({str(items) for _, items in then}) > 15
    for moment, items in then:
        assert await listed(gallery, me, asOf=moment.isoformat()) == items
    outcome = await rebuilt(PROJECTION, gallery.streams.dsn, gallery.bus)
    assert outcome.is_equal, [each for each in outcome.tables if not each.is_equal]
    swapped = await rebuilt(PROJECTION, gallery.streams.dsn, gallery.bus, swap=True)
    assert swapped.is_swapped
    for moment, items in then[::5]:
        assert await listed(gallery, me, asOf=moment.isoformat()) == items
    assert await listed(gallery, uuid4(), asOf=then[-1][0].isoformat()) == []


async def test_pages_and_filters_are_of_that_time_too(gallery: RunningGallery) -> None:
    me = uuid4()
    await shown(gallery, me)
    first, second = await listed(gallery, me)
    await gallery.call("PATCH", f"{FILES}/{first['id']}", person(me), {"isPublic": True})
    await gallery.call("POST", f"{FILES}/{second['id']}/toggle-like", person(me))
    moment = gallery.streams.clock.now().isoformat()
    await gallery.call("PATCH", f"{FILES}/{first['id']}", person(me), {"isPublic": False})
    await gallery.call("DELETE", f"{FILES}/{second['id']}", person(me))

    def ids(items: Items) -> list[str]:
        return [each["id"] for each in items]

    both = [first["id"], second["id"]]
    assert ids(await listed(gallery, me, asOf=moment)) == both
    assert ids(await listed(gallery, me, asOf=moment, isPublic="true")) == both[:1]
    assert ids(await listed(gallery, me, asOf=moment, isLiked="true")) == both[1:]
    assert ids(await listed(gallery, me, asOf=moment, type="video")) == []
    assert ids(await listed(gallery, me)) == both[:1]
    answer = await gallery.get(f"{FILES}?limit=1&asOf={quote(moment)}", person(me))
    page = answer.json()
    rest = await listed(gallery, me, asOf=moment, cursor=page["nextCursor"])
    assert ids(page["items"]) + ids(rest) == both


async def test_the_past_of_whoever_is_erased_is_gone(gallery: RunningGallery) -> None:
    me, friend = uuid4(), uuid4()
    for each in (me, friend):
        await shown(gallery, each)
    mine, theirs = await listed(gallery, me), await listed(gallery, friend)
    url = f"{FILES}/{theirs[0]['id']}"
    await gallery.call("PATCH", url, person(friend), {"isPublic": True})
    await gallery.call("POST", f"{url}/toggle-like", person(me))
    await gallery.call("PATCH", f"{FILES}/{mine[0]['id']}", person(me), {"title": "a secret"})
    moment = gallery.streams.clock.now().isoformat()
    await gallery.call("DELETE", f"{FILES}/{mine[1]['id']}", person(me))
    assert len(await listed(gallery, me, asOf=moment)) == 2
    assert (await listed(gallery, friend, asOf=moment))[0]["likeCount"] == 1

    await erase(gallery, me)
    async with asyncio.timeout(DEADLINE_SECONDS):
        while await gallery.count("SELECT count(*) FROM item_version WHERE title = 'a secret'"):
            await asyncio.sleep(0.02)
    assert await listed(gallery, me, asOf=moment) == []
    assert (await listed(gallery, friend, asOf=moment))[0]["likeCount"] == 0
    outcome = await rebuilt(PROJECTION, gallery.streams.dsn, gallery.bus)
    assert outcome.is_equal, [each for each in outcome.tables if not each.is_equal]


async def test_a_time_to_come_and_what_is_no_time_are_refused(gallery: RunningGallery) -> None:
    me = person(uuid4())
    later = datetime(9000, 1, 1, tzinfo=UTC).isoformat()
    answer = await gallery.get(f"{FILES}?asOf={quote(later)}", me)
    assert (answer.status_code, answer.json()["code"]) == (400, "as_of_in_the_future")
    assert (await gallery.get(f"{FILES}?asOf=yesterday", me)).status_code == 400
