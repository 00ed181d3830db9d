"""The gallery has lost its database: it lists again what it has confirmed, and confirms nothing."""

from collections.abc import Iterable
from contextlib import suppress
from random import Random
from typing import Any
from uuid import UUID

import pytest
from asyncpg import Record

from libs.events.bus import KafkaBus
from libs.events.gallery import GalleryItemUploaded, GalleryThumbnailMade
from libs.events.identity import AccountErased
from libs.events.names import Service
from libs.events.registry import REGISTRY
from libs.events.testing import event, stored_image
from libs.runtime import recovery
from libs.runtime.auth import Principal
from libs.runtime.testing import Streams, rebuilt
from libs.runtime.testing_recovery import (
    Habits,
    answers,
    assert_comes_back,
    assert_confirms_once,
    extents,
    live,
    recover_dying,
    tables,
    tell,
)
from services.gallery import consumers, store
from services.gallery.domain.facts import Changes
from services.gallery.handlers.items import ItemNotFound, Items
from services.gallery.rebuild import PROJECTION
from services.gallery.tests.integration.drawing_room import Room
from services.gallery.worker import Sweeper

HABITS = Habits(
    history=consumers.HISTORY,
    topics=consumers.TOPICS,
    types=consumers.EVENT_TYPES,
    handler=consumers.take_in,
)


async def test_it_comes_back_as_it_was_and_says_nothing_again(
    streams: Streams, emptied: Streams, bus: KafkaBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through deaths before and after many of its commits."""
    monkeypatch.setattr(recovery, "RECORDS_MAX", 3)
    await assert_comes_back(streams, emptied, bus, HABITS)


async def upload(streams: Streams, user_id: UUID) -> None:
    """A picture of somebody's own."""
    item_id = streams.ids.new()
    image = stored_image(key=f"uploads/{item_id}.png")
    async with streams.database.transaction() as transaction:
        told = transaction.publish(
            GalleryItemUploaded(
                item_id=item_id,
                account_id=user_id,
                user_id=user_id,
                image=image,
                purpose="upload",
                file_name="dusk.png",
                prompt="dusk",
                model="",
            )
        )
        await store.follow(transaction.connection, [told])


async def pictures(streams: Streams) -> list[Record]:
    async with streams.database.read() as connection:
        return await connection.fetch("SELECT id, user_id FROM item ORDER BY id")


async def make_small(streams: Streams) -> None:
    """A thumbnail of each picture."""
    room = Room(streams)
    async with streams.database.transaction() as transaction:
        rows = await transaction.connection.fetch("SELECT key FROM asset")
        room.bucket.objects |= {row["key"]: b"a picture" for row in rows}
        await store.want_thumbnails(transaction.connection, [row["key"] for row in rows])
    worker = room.worker()
    while await worker.work():
        pass


async def act(streams: Streams, random: Random, times: int) -> None:
    """People change, like and delete pictures; some of them are asked for what is gone."""
    items = Items(streams.database)
    rows = await pictures(streams)
    people = [row["user_id"] for row in rows]
    for owner_id in people[:5]:
        await upload(streams, owner_id)
    await make_small(streams)
    rows = await pictures(streams)
    for _ in range(times):
        row, other = random.choice(rows), random.choice(people)
        owner = Principal(user_id=row["user_id"], role="USER", account_id=row["user_id"])
        fan = Principal(user_id=other, role="USER", account_id=other)
        changes = Changes(is_public=random.random() < 0.8, title=str(random.random()))
        with suppress(ItemNotFound):
            match random.randrange(4):
                case 0:
                    await items.delete(owner, row["id"])
                case 1:
                    await items.change(owner, row["id"], changes, is_liked=True)
                case _:
                    await items.toggle_like(fan, row["id"])


async def test_what_people_have_done_comes_back_and_can_be_made_again(
    streams: Streams, emptied: Streams, bus: KafkaBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = Random(21)
    await tell(bus, answers(20))
    await live(streams, bus, HABITS)
    await act(streams, random, 150)
    gone = UUID(int=0)
    async with streams.database.read() as connection:
        gone = await connection.fetchval("SELECT user_id FROM item_like WHERE is_liked LIMIT 1")
    erased = AccountErased(user_id=gone, account_id=gone, actor=gone)
    await tell(bus, [event(erased, source=Service.GATEWAY)])
    await live(streams, bus, HABITS)
    said = await extents(bus, HABITS.history.own)
    whole = await tables(streams, without=("doomed_object",))
    assert all(whole[name] for name in ("item", "item_fact", "item_like", "thumbnail"))
    assert any(line.endswith(",t)") for line in whole["item_like"])

    rebuilt_ = await rebuilt(PROJECTION, streams.dsn, bus)
    assert rebuilt_.is_equal, rebuilt_.tables

    monkeypatch.setattr(recovery, "RECORDS_MAX", 5)
    assert await recover_dying(emptied, bus, HABITS.history) > 5
    await live(emptied, bus, HABITS)
    again = await tables(emptied, without=("doomed_object",))
    for name in ("confirmation", "asset", "item", "item_fact", "item_like", "thumbnail"):
        assert again[name] == whole[name], name
    assert await extents(bus, HABITS.history.own) == said


async def test_what_people_have_done_may_be_told_again_and_in_any_order(
    streams: Streams, bus: KafkaBus
) -> None:
    random = Random(22)
    await tell(bus, answers(12))
    await live(streams, bus, HABITS)
    await act(streams, random, 80)
    whole = await tables(streams, without=("doomed_object",))
    said = [REGISTRY.decode(encoded) for event_id, encoded in await streams.published() if event_id]
    for _ in range(3):
        random.shuffle(said)
        async with streams.database.transaction() as transaction:
            for each in said:
                await store.follow(transaction.connection, [each])
    assert await tables(streams, without=("doomed_object",)) == whole


async def test_a_thumbnail_that_is_told_after_its_pictures_deletion_stays_forgotten(
    streams: Streams, emptied: Streams, bus: KafkaBus
) -> None:
    """Order holds for each account alone, and two accounts may show one object."""
    user = UUID(int=7)
    await upload(streams, user)
    await make_small(streams)
    ((item_id, _),) = await pictures(streams)
    await Items(streams.database).delete(
        Principal(user_id=user, role="USER", account_id=user), item_id
    )
    said = [REGISTRY.decode(encoded) for event_id, encoded in await streams.published() if event_id]
    late = [each for each in said if isinstance(each.data, GalleryThumbnailMade)]
    before = [each for each in said if each not in late]
    for events in (before, late):
        async with emptied.database.transaction() as transaction:
            await consumers.remember(transaction, events)
    for table in ("item", "asset", "thumbnail", "thumbnail_work"):
        assert (await tables(emptied, without=()))[table] == [], table
    async with emptied.database.read() as connection:
        doomed = {row["key"] for row in await connection.fetch("SELECT key FROM doomed_object")}
    (made,) = await Room(streams).told()
    assert made.thumbnail is not None
    assert doomed == {f"uploads/{item_id}.png", made.thumbnail.key}


async def test_what_came_while_it_was_away_is_confirmed_once(
    streams: Streams, emptied: Streams, bus: KafkaBus
) -> None:
    await assert_confirms_once(streams, emptied, bus, HABITS, jobs=8)


class Bucket:
    """What is deleted from it."""

    def __init__(self) -> None:
        self.deleted: list[str] = []

    async def delete(self, keys: Iterable[str]) -> None:
        self.deleted += keys


async def test_an_object_stays_until_its_deletion_is_told(
    streams: Streams, emptied: Streams, bus: KafkaBus
) -> None:
    """Or the loss of the database would bring a picture back whose object is gone."""
    user, bucket = UUID(int=7), Bucket()
    assets: Any = bucket
    sweeper = Sweeper(
        database=streams.database, assets=assets, wakeups=streams.wakeups, clock=streams.clock
    )
    await upload(streams, user)
    await live(streams, bus, HABITS)
    async with streams.database.read() as connection:
        item_id = await connection.fetchval("SELECT id FROM item")
    owner = Principal(user_id=user, role="USER", account_id=user)
    await Items(streams.database).delete(owner, item_id)

    assert await sweeper.work() == 0
    await live(emptied, bus, HABITS)
    assert len((await tables(emptied))["item"]) == 1

    await live(streams, bus, HABITS)
    assert await sweeper.work() == 1
    assert len(bucket.deleted) == 1
