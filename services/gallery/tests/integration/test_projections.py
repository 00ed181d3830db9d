"""Completed jobs -> pictures and confirmations, on a real database."""

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest
from asyncpg.connection import LoggedQuery

from libs.events.envelope import Event
from libs.events.gallery import GalleryItemsAdded
from libs.events.payload import Payload
from libs.events.registry import REGISTRY
from libs.events.testing import NOW, completed, event, request_facts, stored_image
from libs.runtime.bulk import COPY_ROWS_MIN
from libs.runtime.paging import NEWEST, Position
from libs.runtime.testing import Streams
from services.gallery import consumers, projections, store
from services.gallery.domain import pictures
from services.gallery.domain.listing import Filters, ListedItem
from services.gallery.store.listing import list_own


async def handle(streams: Streams, *events: Event[Payload]) -> None:
    async with streams.database.transaction() as transaction:
        await consumers.take_in(transaction, events)


async def confirmed(streams: Streams) -> list[tuple[Event[Payload], GalleryItemsAdded]]:
    told = [REGISTRY.decode(encoded) for _, encoded in await streams.published()]
    return [(each, each.data) for each in told if isinstance(each.data, GalleryItemsAdded)]


async def listed(streams: Streams, user_id: UUID) -> list[ListedItem]:
    async with streams.database.read() as connection:
        return await store.list_items(connection, user_id, NEWEST, 1000)


async def table(streams: Streams, name: str) -> list[tuple[object, ...]]:
    async with streams.database.read() as connection:
        rows = await connection.fetch(f"SELECT * FROM {name} ORDER BY 1")
    return [tuple(row) for row in rows]


async def test_a_completed_job_is_listed_and_confirmed(streams: Streams) -> None:
    data = completed(request_facts(units=2, model="as sent", prompt="a \u2728 lighthouse"))
    told = event(data)

    await handle(streams, told)

    items = await listed(streams, data.request.user_id)
    assert {item.id for item in items} == set(pictures.item_ids(data))
    by_id = {item.id: item for item in items}
    for item_id, image in zip(pictures.item_ids(data), data.images, strict=True):
        item = by_id[item_id]
        assert (item.asset_key, item.size_bytes) == (image.key, image.size_bytes)
        assert (item.model, item.prompt) == ("as sent", "a \u2728 lighthouse")
        assert item.created_at == item.updated_at == NOW
        assert (item.content_type, item.is_public) == ("image/png", False)
    ((confirmation, added),) = await confirmed(streams)
    assert added.item_ids == pictures.item_ids(data)
    assert (added.job_id, added.account_id) == (data.job_id, data.account_id)
    assert added.user_id == data.request.user_id
    assert confirmation.causation_id == told.id
    assert confirmation.correlation_id == told.correlation_id


async def test_a_job_told_again_under_a_new_event_id_changes_nothing(streams: Streams) -> None:
    data = completed(request_facts(units=2))
    await handle(streams, event(data))
    before = [await table(streams, name) for name in ("item", "asset", "confirmation")]

    later = NOW + timedelta(minutes=1)
    other = msgspec.structs.replace(data, images=(stored_image(), stored_image(), stored_image()))
    await handle(streams, event(data, time=later), event(other, time=later))

    assert [await table(streams, name) for name in ("item", "asset", "confirmation")] == before
    assert len(await confirmed(streams)) == 1


async def test_a_batch_takes_in_each_of_its_jobs_once(streams: Streams) -> None:
    known = completed()
    await handle(streams, event(known))
    jobs = [completed(request_facts(units=units)) for units in (1, 3, 2)]

    await handle(
        streams,
        event(jobs[0]),
        event(known),
        event(jobs[1]),
        event(jobs[0], time=NOW + timedelta(seconds=1)),
        event(jobs[2]),
    )

    answers = [added.job_id for _, added in await confirmed(streams)]
    assert answers == [known.job_id, *(job.job_id for job in jobs)]
    for job in jobs:
        assert len(await listed(streams, job.request.user_id)) == job.request.units
    (first,) = await listed(streams, jobs[0].request.user_id)
    assert first.created_at == NOW


async def test_a_batch_costs_the_same_few_statements_however_long_it_is(streams: Streams) -> None:
    async def statements(jobs: int) -> int:
        heard: list[LoggedQuery] = []
        batch = [event(completed()) for _ in range(jobs)]
        async with streams.database.transaction() as transaction:
            with transaction.connection.query_logger(heard.append):
                await consumers.take_in(transaction, batch)
        return len(heard)

    await statements(1)  # the driver looks up each type once per connection
    assert (
        await statements(1) == await statements(200) == 6
    )  # who is erased, confirmations, assets, items, what people have done, thumbnails to make


async def test_an_answer_in_words_is_confirmed_with_no_items(streams: Streams) -> None:
    data = completed(images=(), texts=("A lighthouse.",), delivered_units=1)
    await handle(streams, event(data), event(data))
    ((_, added),) = await confirmed(streams)
    assert added.item_ids == ()
    assert await listed(streams, data.request.user_id) == []


async def test_tables_made_again_from_the_same_events_are_equal(
    streams: Streams,
) -> None:
    events = [event(completed(request_facts(units=2))) for _ in range(3)]
    names = ("item", "asset", "confirmation")
    await handle(streams, *events)
    once = [await table(streams, name) for name in names]
    async with streams.database.transaction() as transaction:
        await transaction.connection.execute("TRUNCATE item, asset, confirmation")

    for each in events:
        await handle(streams, each)

    assert [await table(streams, name) for name in names] == once


async def test_pages_stay_true_while_pictures_are_added(streams: Streams) -> None:
    user_id = uuid4()

    async def add(seconds: int, count: int = 1) -> None:
        request = request_facts(user_id=user_id, units=count)
        await handle(streams, event(completed(request), time=NOW + timedelta(seconds=seconds)))

    # Equal times: only the id can order them.
    await add(0, count=5)
    await add(1, count=2)
    await add(-1, count=3)
    expected = [item.id for item in await listed(streams, user_id)]

    seen: list[UUID] = []
    position = NEWEST
    async with streams.database.read() as connection:
        while items := await store.list_items(connection, user_id, position, 2):
            seen += [item.id for item in items]
            position = Position(items[-1].created_at, items[-1].id)
            await add(60)

    assert seen == expected
    assert len(await listed(streams, user_id)) > len(expected)


async def test_a_picture_itself_never_stands_in_a_key(streams: Streams) -> None:
    for key in ("data:image/png;base64,AAAA", "https://elsewhere.example/1.png", "/1.png", ""):
        with pytest.raises(asyncpg.CheckViolationError):
            await handle(streams, event(completed(images=(stored_image(key=key),))))
    assert await confirmed(streams) == []


async def test_only_keys_that_a_picture_shows_are_found(streams: Streams) -> None:
    data = completed()
    await handle(streams, event(data))
    key = data.images[0].key
    async with streams.database.transaction() as transaction:
        await transaction.connection.execute(
            """INSERT INTO asset SELECT 'attempts/loser.png', sha256, content_type, size_bytes,
                                        width, height, stored_at FROM asset"""
        )
    async with streams.database.read() as connection:
        shown = await store.find_shown_asset(connection, key)
        assert shown is not None
        asset = shown.asset
        assert (shown.is_public, shown.is_own) == (False, False)
        assert asset.sha256 == data.images[0].sha256
        assert (asset.width, asset.height) == (1024, 1024)
        assert await store.find_shown_asset(connection, "attempts/loser.png") is None
        assert await store.find_shown_asset(connection, "attempts/unheard-of.png") is None


async def test_many_jobs_are_listed_once_although_some_are_known(streams: Streams) -> None:
    """More than go by COPY, which knows no conflicts; and two writers of them at once."""
    told = [event(completed(), event_id=uuid4()) for _ in range(COPY_ROWS_MIN + 50)]
    await handle(streams, *told[10:20])
    await asyncio.gather(handle(streams, *told), handle(streams, *reversed(told)))
    assert len(await table(streams, "item")) == len(await table(streams, "asset")) == len(told)
    answers = await confirmed(streams)
    assert {answer.job_id for _, answer in answers} == {UUID(each.subject) for each in told}
    assert len(answers) == len(told)
    await handle(streams, *told)
    assert len(await confirmed(streams)) == len(told)


async def test_pictures_of_one_object_are_all_listed_in_a_large_batch(streams: Streams) -> None:
    shared = stored_image()
    told = [event(completed(images=(shared,))) for _ in range(COPY_ROWS_MIN)]
    await handle(streams, *told)
    assert len(await table(streams, "asset")) == 1
    assert len(await table(streams, "item")) == COPY_ROWS_MIN


async def test_a_page_of_a_large_gallery_reads_no_more_than_it_shows(streams: Streams) -> None:
    """A plan that sorts has read all that somebody has."""
    me = uuid4()
    jobs = [completed(request_facts(user_id=me)) for _ in range(3_000)]
    async with streams.database.transaction() as transaction:
        told = [event(job, event_id=uuid4()) for job in jobs]
        await projections.add_completed_jobs(transaction.connection, told)
    async with streams.database.transaction() as transaction:
        await transaction.connection.execute("ANALYZE item, asset")
    asked = [
        Filters(),
        Filters(kind="image"),
        Filters(model="one"),
        Filters(is_public=False),
        Filters(is_liked=False),
        Filters(kind="image", model="one", is_public=False, is_liked=False),
    ]
    for number, filters in enumerate(asked):
        statement, wanted = list_own(filters)
        types = ["boolean" if isinstance(each, bool) else "text" for each in wanted]
        values = [f"'{each}'" for each in (me, "2999-01-01", uuid4(), 21, *wanted)]
        declared = ["uuid", "timestamptz", "uuid", "bigint", *types]
        async with streams.database.transaction() as transaction:
            connection = transaction.connection
            name = f"page_{number}"
            await connection.execute(f"PREPARE {name} ({', '.join(declared)}) AS {statement}")
            plan = await connection.fetch(f"EXPLAIN EXECUTE {name} ({', '.join(values)})")
            await connection.execute(f"DEALLOCATE {name}")
        text = "\n".join(row[0] for row in plan)
        assert "item_by_user" in text, text
        assert "Sort" not in text, text
