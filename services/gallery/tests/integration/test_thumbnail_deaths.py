"""Whatever dies or comes twice while a thumbnail is made, there is exactly one in the end."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from prometheus_client import CollectorRegistry

from libs.runtime import erasure
from libs.runtime.auth import Principal
from libs.runtime.db import Connection
from libs.runtime.objects import StorageUnavailable
from libs.runtime.testing import Streams
from services.gallery import store
from services.gallery.domain.facts import Changes
from services.gallery.handlers.items import Items
from services.gallery.handlers.thumbnail_watch import ThumbnailWatch
from services.gallery.handlers.thumbnails import ATTEMPTS_MAX, REST
from services.gallery.ports import ShrinkerFailedError, UnshrinkableError
from services.gallery.tests.integration.drawing_room import Died, Hand, Room

LATER = timedelta(minutes=3)  # a lease is over
WAITING_FOR_LOCKS = """
    SELECT count(*) FROM pg_stat_activity
     WHERE application_name = 'daygen-gallery' AND wait_event_type = 'Lock'
"""


@pytest.fixture
def room(streams: Streams) -> Room:
    return Room(streams)


def owner(user_id: UUID) -> Principal:
    return Principal(user_id=user_id, role="USER", account_id=user_id)


async def die() -> None:
    raise Died


async def died(room: Room, hand: Hand | None = None) -> None:
    with pytest.raises(Died):
        await room.worker(hand).work()


async def done(room: Room) -> None:
    worker = room.worker()
    while await worker.work():
        pass


@pytest.mark.parametrize("point", ["before", "after_put", "commit"])
async def test_whoever_dies_is_followed_by_another(
    room: Room, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    await room.upload(uuid4())
    hand = Hand()
    if point == "before":
        hand.before = die
    elif point == "after_put":
        room.bucket.after_put = die
    else:

        async def follow(*_: object) -> list[str]:
            raise Died

        monkeypatch.setattr(store, "follow", follow)
    await died(room, hand)
    monkeypatch.undo()
    room.bucket.after_put = None

    assert await room.worker().work() is False  # the lease holds
    room.clock.ahead = LATER
    await done(room)
    await room.assert_exactly_one()


async def test_whoever_stands_still_comes_too_late(room: Room) -> None:
    await room.upload(uuid4())
    going_on, standing = asyncio.Event(), asyncio.Event()

    async def stand() -> None:
        if not standing.is_set():
            standing.set()
            await going_on.wait()

    room.bucket.after_put = stand
    first = asyncio.create_task(room.worker().work())
    await standing.wait()
    room.clock.ahead = LATER
    await done(room)
    going_on.set()
    await first
    await room.assert_exactly_one()


async def test_whoever_was_taken_over_may_not_finish_while_the_other_is_at_work(
    room: Room,
) -> None:
    """Its object has been deleted already: told, it would be of nothing."""
    await room.upload(uuid4())
    second = Hand()

    async def take_over() -> None:
        room.bucket.after_put = None
        room.clock.ahead = LATER
        await died(room, second)
        await room.swept()

    second.before = die
    room.bucket.after_put = take_over
    await room.worker().work()
    assert await room.told() == []
    room.clock.ahead = 2 * LATER
    await done(room)
    await room.assert_exactly_one()


async def test_whoever_stands_still_and_is_not_missed_may_finish(room: Room) -> None:
    await room.upload(uuid4())

    async def stand() -> None:
        room.clock.ahead = LATER

    room.bucket.after_put = stand
    await done(room)
    await room.assert_exactly_one()


async def test_two_replicas_share_the_work(room: Room) -> None:
    for _ in range(12):
        await room.upload(uuid4())
    hands = [Hand(), Hand(), Hand()]

    async def work(hand: Hand) -> None:
        hand.before = lambda: asyncio.sleep(0.005)
        worker = room.worker(hand)
        while await worker.work():
            pass

    await asyncio.gather(*map(work, hands))
    assert sum(hand.made for hand in hands) == 12
    assert len(await room.told()) == len(await room.noted()) == len(room.bucket.small) == 12


async def test_a_picture_wanted_twice_gets_one(room: Room) -> None:
    item_id = await room.upload(uuid4())
    await done(room)
    async with room.streams.database.transaction() as transaction:
        await store.want_thumbnails(transaction.connection, [f"uploads/{item_id}.png"])
    await done(room)
    await room.assert_exactly_one()


def at(
    room: Room, monkeypatch: pytest.MonkeyPatch, moment: str, action: Callable[[], Awaitable[None]]
) -> None:
    """Have something done once: when the object is stored, or when it is about to be locked."""
    due = [action]
    lock_items = store.lock_items

    async def act() -> None:
        while due:
            await due.pop()()

    async def lock(connection: Connection, item_ids: Sequence[UUID]) -> None:
        await act()
        await lock_items(connection, item_ids)

    if moment == "stored":
        room.bucket.after_put = act
    else:
        monkeypatch.setattr(store, "lock_items", lock)


MOMENTS = pytest.mark.parametrize("moment", ["stored", "locked"])


@MOMENTS
async def test_of_a_picture_that_goes_meanwhile_nothing_stays(
    room: Room, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    me = uuid4()
    item_id = await room.upload(me)

    async def throw_away() -> None:
        await Items(room.streams.database).delete(owner(me), item_id)

    at(room, monkeypatch, moment, throw_away)
    await done(room)
    await room.swept()
    assert (room.bucket.objects, await room.told(), await room.noted()) == ({}, [], {})
    assert await room.count("SELECT count(*) FROM thumbnail_work") == 0


async def test_of_whoever_is_erased_meanwhile_nothing_is_told(room: Room) -> None:
    me = uuid4()
    await room.upload(me)

    async def erase() -> None:
        async with room.streams.database.transaction() as transaction:
            await erasure.erase(transaction, me)

    room.bucket.after_put = erase
    hand = Hand()
    await room.worker(hand).work()
    assert hand.made == 1
    assert await room.told() == []


async def show_also(room: Room, user_id: UUID) -> UUID:
    """Somebody else's item that shows the only object there is, a second younger."""
    item_id = uuid4()
    async with room.streams.database.transaction() as transaction:
        await transaction.connection.execute(
            """
            INSERT INTO item (id, user_id, account_id, picture_index, asset_key, file_name,
                              operation, provider, model, prompt, created_at, updated_at)
            SELECT $1, $2, $2, 0, asset_key, file_name, operation, provider, model, prompt,
                   created_at + interval '1 second', updated_at FROM item
            """,
            item_id,
            user_id,
        )
    return item_id


async def test_it_goes_with_the_last_who_shows_the_object(room: Room) -> None:
    first, second = uuid4(), uuid4()
    item_id = await room.upload(first)
    other_id = await show_also(room, second)
    await done(room)
    items = Items(room.streams.database)
    await items.delete(owner(first), item_id)
    await room.assert_exactly_one()
    await items.delete(owner(second), other_id)
    await room.swept()
    assert (room.bucket.objects, await room.noted()) == ({}, {})


@MOMENTS
async def test_one_object_of_two_people_outlives_the_first(
    room: Room, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """The thumbnail is told to the account of whoever shows it when it is done."""
    first, second = uuid4(), uuid4()
    item_id = await room.upload(first)
    key = f"uploads/{item_id}.png"
    await show_also(room, second)

    async def throw_away() -> None:
        await Items(room.streams.database).delete(owner(first), item_id)

    at(room, monkeypatch, moment, throw_away)
    await done(room)
    room.clock.ahead = timedelta(seconds=11)
    await done(room)
    await room.assert_exactly_one()
    (told,) = await room.told()
    assert (told.account_id, told.asset_key) == (second, key)


async def test_an_outage_of_storage_counts_as_no_attempt(room: Room) -> None:
    await room.upload(uuid4())

    async def fail() -> None:
        raise StorageUnavailable("away")

    room.bucket.after_put = fail
    for _ in range(2 * ATTEMPTS_MAX):
        with pytest.raises(StorageUnavailable):
            await room.worker().work()
        room.clock.ahead += timedelta(seconds=11)
    room.bucket.after_put = None
    await done(room)
    await room.assert_exactly_one()


@pytest.mark.parametrize("fault", [ShrinkerFailedError("died"), Died()])
async def test_a_picture_that_nothing_lives_through_is_tried_again_every_day(
    room: Room, fault: BaseException
) -> None:
    """What fails may pass: storage that is slow, a machine without memory, a decoder of ours."""
    await room.upload(uuid4())
    hand = Hand()

    async def fail() -> None:
        raise fault

    hand.before = fail
    for _ in range(ATTEMPTS_MAX + 2):
        with suppress(Died):
            await room.worker(hand).work()
        room.clock.ahead += LATER
    assert hand.made == ATTEMPTS_MAX
    room.clock.ahead += REST
    with suppress(Died):
        await room.worker(hand).work()
    assert hand.made == ATTEMPTS_MAX + 1
    room.clock.ahead += LATER
    await done(room)
    await room.assert_exactly_one()


async def test_a_picture_that_is_none_is_never_tried_again(room: Room) -> None:
    await room.upload(uuid4())
    hand = Hand()

    async def refuse() -> None:
        raise UnshrinkableError("no picture")

    hand.before = refuse
    for _ in range(3):
        await room.worker(hand).work()
        room.clock.ahead += REST
        assert await room.custody().complete() == 0
    assert hand.made == 1
    assert await room.count("SELECT count(*) FROM thumbnail_work WHERE next_at IS NULL") == 1


async def test_one_that_fails_spoils_none_that_are_told_with_it(room: Room) -> None:
    for _ in range(3):
        await room.upload(uuid4())
    hand = Hand()

    async def fail_second() -> None:
        if hand.made == 2:
            raise StorageUnavailable("away")

    hand.before = fail_second
    with pytest.raises(StorageUnavailable):
        await room.worker(hand).work()
    assert len(await room.told()) == 1
    room.clock.ahead = LATER
    await done(room)
    assert len(await room.told()) == len(await room.noted()) == len(room.bucket.small) == 3


async def test_they_are_made_in_the_order_in_which_pictures_came(room: Room) -> None:
    """And many are told in one transaction."""
    item_ids = [await room.upload(uuid4()) for _ in range(8)]
    random.Random(5).shuffle(item_ids)
    async with room.streams.database.transaction() as transaction:
        await transaction.connection.execute(
            """
            UPDATE thumbnail_work SET stored_at = stored_at + place * interval '1 minute'
              FROM unnest($1::text[]) WITH ORDINALITY AS wanted (key, place) WHERE asset_key = key
            """,
            [f"uploads/{item_id}.png" for item_id in item_ids],
        )
    hand = Hand()
    worker = room.worker(hand)
    await worker.work()
    assert hand.given == [b"picture %d" % item_id.int for item_id in item_ids]
    async with room.streams.database.read() as connection:
        assert await connection.fetchval("SELECT count(DISTINCT xmin::text) FROM thumbnail") == 1


async def test_what_waits_is_counted_and_how_long_the_next_has_waited(room: Room) -> None:
    registry = CollectorRegistry()
    watch = ThumbnailWatch(database=room.streams.database, clock=room.clock, registry=registry)

    async def figures() -> tuple[float | None, float | None]:
        await watch.measure()
        rows, age = (f"daygen_gallery_thumbnail_queue_{each}" for each in ("rows", "age_seconds"))
        return registry.get_sample_value(rows), registry.get_sample_value(age)

    assert await figures() == (0, 0)
    for _ in range(2):
        await room.upload(uuid4())
    room.clock.ahead = LATER
    rows, age = await figures()
    assert rows == 2
    assert age is not None
    assert age >= LATER.total_seconds()
    await done(room)
    assert await figures() == (0, 0)


async def test_a_thumbnail_and_a_deletion_take_their_locks_in_one_order(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The picture's row before its object's: or each of the two would hold what the other needs."""
    me = uuid4()
    item_id = await room.upload(me)
    items = Items(room.streams.database)
    await items.change(owner(me), item_id, Changes(title="dusk"))  # so a thumbnail touches its row
    lock_assets = store.lock_assets
    deleting: list[asyncio.Task[None]] = []

    async def lock(connection: Connection, keys: Sequence[str]) -> None:
        await lock_assets(connection, keys)
        deleting.append(asyncio.create_task(items.delete(owner(me), item_id)))
        async with asyncio.timeout(10):
            while await room.count(WAITING_FOR_LOCKS) == 0:
                await asyncio.sleep(0.01)

    monkeypatch.setattr(store, "lock_assets", lock)
    await room.worker().work()
    (deletion,) = deleting
    await deletion
    await room.swept()
    assert len(await room.told()) == 1
    assert (room.bucket.objects, await room.noted()) == ({}, {})


async def test_what_nobody_is_about_to_make_is_found(room: Room) -> None:
    await room.upload(uuid4())
    async with room.streams.database.transaction() as transaction:
        await transaction.connection.execute("DELETE FROM thumbnail_work")
    await done(room)
    assert await room.told() == []
    assert await room.custody().complete() == 1
    await done(room)
    await room.assert_exactly_one()
    assert await room.custody().complete() == 0


async def test_what_was_given_up_is_forgotten_with_its_picture(room: Room) -> None:
    me = uuid4()
    item_id = await room.upload(me)
    async with room.streams.database.transaction() as transaction:
        await transaction.connection.execute("UPDATE thumbnail_work SET next_at = NULL")
    await room.custody().complete()
    assert await room.count("SELECT count(*) FROM thumbnail_work") == 1
    await Items(room.streams.database).delete(owner(me), item_id)
    await room.custody().complete()
    assert await room.count("SELECT count(*) FROM thumbnail_work") == 0


async def test_loose_ones_are_swept_and_one_under_way_is_not(room: Room) -> None:
    """The one under way is as old: its process has stood still for days."""
    await room.upload(uuid4())
    await room.custody().sweep()
    await done(room)
    shown = set(await room.noted())
    await room.upload(uuid4())
    room.bucket.objects["thumbnails/loose.webp"] = b"loose"

    async def sweep() -> None:
        room.clock.ahead = timedelta(days=2)
        await room.custody().sweep()
        await room.swept()

    room.bucket.after_put = sweep
    await done(room)
    assert "thumbnails/loose.webp" not in room.bucket.small
    assert len(room.bucket.small) == 2
    assert room.bucket.small == set(await room.noted())
    assert shown < room.bucket.small


async def test_missing_and_changed_ones_are_counted(room: Room) -> None:
    for _ in range(2):
        await room.upload(uuid4())
    await done(room)
    assert await room.custody().verify() == 0
    first, second = sorted(room.bucket.small)
    del room.bucket.objects[first]
    room.bucket.objects[second] = b"another"
    assert await room.custody().verify() == 2
