"""An upload and the sweeper at one object: what is listed stays, what is given up is refused."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from libs.runtime.auth import Principal
from libs.runtime.db import Connection
from libs.runtime.testing import Streams
from services.gallery import store
from services.gallery.domain.uploads import Described
from services.gallery.handlers.uploads import UploadGivenUp, Uploads
from services.gallery.tests.integration.drawing_room import Died, Room
from services.gallery.tests.integration.test_uploads import picture

DAYS = timedelta(days=2)


@pytest.fixture
def room(streams: Streams) -> Room:
    return Room(streams)


async def content() -> AsyncIterator[bytes]:
    yield picture()


async def upload(room: Room) -> UUID:
    uploads = Uploads(
        database=room.streams.database, objects=room.bucket, ids=room.streams.ids, clock=room.clock
    )
    user_id = uuid4()
    caller = Principal(user_id=user_id, role="USER", account_id=user_id)
    return (await uploads.take(caller, content(), Described())).item_id


async def sweep(room: Room) -> None:
    await room.custody().sweep()
    await room.swept()


async def test_one_that_is_given_up_is_refused_and_not_listed(room: Room) -> None:
    """It has stood still between its object and its row for days."""

    async def stand_still() -> None:
        room.clock.ahead = DAYS
        await sweep(room)

    room.bucket.after_put = stand_still
    with pytest.raises(UploadGivenUp):
        await upload(room)
    assert await room.count("SELECT count(*) FROM item") == 0
    assert room.bucket.objects == {}


@pytest.mark.parametrize("is_committed", [True, False])
async def test_one_that_is_just_being_listed_is_waited_for(
    room: Room, monkeypatch: pytest.MonkeyPatch, is_committed: bool
) -> None:
    """The sweeper looks after it was announced and before it is shown."""
    follow, sweeping = store.follow, list[asyncio.Task[None]]()

    async def stand_still(connection: Connection, events: object) -> list[str]:
        room.clock.ahead = DAYS
        sweeping.append(asyncio.create_task(sweep(room)))
        await asyncio.wait(sweeping, timeout=0.5)
        if not is_committed:
            raise Died
        freed: list[str] = await follow(connection, events)  # type: ignore[arg-type]
        return freed

    monkeypatch.setattr(store, "follow", stand_still)
    if is_committed:
        await upload(room)
    else:
        with pytest.raises(Died):
            await upload(room)
    await sweeping[0]

    shown = await room.count("SELECT count(*) FROM asset")
    assert shown == len(room.bucket.objects) == int(is_committed)


async def test_one_under_way_is_left_alone(room: Room) -> None:
    async def look() -> None:
        await sweep(room)

    room.bucket.after_put = look
    await upload(room)
    assert len(room.bucket.objects) == await room.count("SELECT count(*) FROM asset") == 1
    assert await room.count("SELECT count(*) FROM announced_object") == 0


async def test_one_whose_process_died_is_swept_later(room: Room) -> None:
    async def die() -> None:
        raise Died

    room.bucket.after_put = die
    with pytest.raises(Died):
        await upload(room)
    await sweep(room)
    assert len(room.bucket.objects) == 1
    room.clock.ahead = DAYS
    await sweep(room)
    assert room.bucket.objects == {}
    assert await room.count("SELECT count(*) FROM announced_object") == 0
