"""The gallery's tables made anew from the streams, while the whole service serves."""

import asyncio
import importlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest

from libs.events.envelope import Event, encode
from libs.events.generation import GenerationCompleted
from libs.events.names import Topic
from libs.events.payload import Payload
from libs.events.testing import NOW, completed, event, failed, request_facts, stored_image
from libs.events.transport import OutgoingMessage
from libs.runtime.deadletters import DeadLetters, Filter, refuse
from libs.runtime.rebuild.engine import Outcome, Rebuild, Until
from libs.runtime.rebuild.projection import RebuildError
from libs.runtime.testing import rebuilt
from services.gallery import consumers
from services.gallery.rebuild import PROJECTION
from services.gallery.tests.integration.conftest import RunningGallery
from services.gallery.tests.integration.support import person, until_listed
from services.gallery.tests.integration.test_uploads import picture

TABLES = (
    "confirmation", "asset", "item", "item_fact", "item_like", "item_origin", "item_version",
    "item_like_version", "thumbnail",
)  # fmt: skip
OWNER = UUID(int=7)


def history(random: Random, jobs: int) -> list[Event[Payload]]:
    """Jobs of several accounts, some told again, some under another id, some failed."""
    accounts = [UUID(int=random.getrandbits(128)) for _ in range(7)]
    shared = stored_image()
    told: list[Event[Payload]] = []
    for number in range(jobs):
        account = random.choice([*accounts, OWNER])
        request = request_facts(user_id=account, units=random.randint(0, 3))
        data = completed(request)
        if random.random() < 0.1:
            data = completed(request, images=(*data.images, shared))
        at = NOW + timedelta(seconds=number)
        told.append(event(data, time=at))
        chance = random.random()
        if chance < 0.1:
            told.append(told[-1])
        elif chance < 0.2:
            told.append(event(data, time=at + timedelta(seconds=1)))
        elif chance < 0.3:
            told.append(event(failed(request_facts(user_id=account)), time=at))
    return told


async def act(gallery: RunningGallery, random: Random) -> None:
    """Somebody changes, likes and throws away pictures of theirs."""
    listed = await gallery.get("/api/r2files?limit=20", person(OWNER))
    for item in random.sample(listed.json()["items"], k=min(3, len(listed.json()["items"]))):
        path = f"/api/r2files/{item['id']}"
        await gallery.call("POST", f"{path}/toggle-like", person(OWNER))
        await gallery.call("PATCH", path, person(OWNER), {"title": str(random.random())})
        if random.random() < 0.2:
            await gallery.call("DELETE", path, person(OWNER))


async def publish(gallery: RunningGallery, events: Sequence[Event[Payload]]) -> None:
    """By account, as the relay does."""
    outcomes = await gallery.bus.publish(
        [OutgoingMessage(Topic.GENERATION, each.key.encode(), encode(each)) for each in events]
    )
    assert list(outcomes) == [None] * len(events)


async def dump(gallery: RunningGallery, schema: str = "gallery") -> dict[str, list[str]]:
    async with gallery.streams.database.read() as connection:
        return {
            table: [
                row["line"]
                for row in await connection.fetch(
                    f"SELECT row::text AS line FROM {schema}.{table} AS row ORDER BY 1"
                )
            ]
            for table in TABLES
        }


async def execute(gallery: RunningGallery, statement: str, *arguments: object) -> None:
    async with gallery.streams.database.read() as connection:
        await connection.execute(statement, *arguments)


async def shapes(gallery: RunningGallery) -> list[tuple[object, ...]]:
    """Columns, constraints, indexes and rights of the live tables."""
    async with gallery.streams.database.read() as connection:
        rows = await connection.fetch("""
            SELECT attrelid::regclass::text,
                   attname::text || ' ' || format_type(atttypid, atttypmod) || attnotnull
                   || attgenerated::text AS what
              FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
             WHERE relnamespace = 'gallery'::regnamespace AND relkind = 'r' AND attnum > 0
            UNION ALL
            SELECT conrelid::regclass::text, conname || ' ' || pg_get_constraintdef(oid)
              FROM pg_constraint WHERE connamespace = 'gallery'::regnamespace
            UNION ALL
            SELECT indrelid::regclass::text, pg_get_indexdef(indexrelid)
              FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
             WHERE relnamespace = 'gallery'::regnamespace
            UNION ALL
            SELECT relname, relacl::text FROM pg_class
             WHERE relnamespace = 'gallery'::regnamespace
             ORDER BY 1, 2
        """)
    return [tuple(row) for row in rows]


async def rebuild(gallery: RunningGallery, **options: Any) -> Outcome:
    return await rebuilt(PROJECTION, gallery.streams.dsn, gallery.bus, **options)


@asynccontextmanager
async def under_load(
    gallery: RunningGallery, random: Random
) -> AsyncIterator[list[Event[Payload]]]:
    """Events come all the time; yields the list of them."""
    told: list[Event[Payload]] = []
    stop = asyncio.Event()

    async def tell() -> None:
        while not stop.is_set():
            events = history(random, 20)
            await publish(gallery, events)
            told.extend(events)
            await act(gallery, random)

    task = asyncio.create_task(tell())
    try:
        yield told
    finally:
        stop.set()
        await task


@asynccontextmanager
async def read_all_the_time(gallery: RunningGallery) -> AsyncIterator[list[int]]:
    """Statuses of requests that are made side by side, on connections with prepared statements."""
    statuses: list[int] = []
    stop = asyncio.Event()

    async def read() -> None:
        while not stop.is_set():
            response = await gallery.get("/api/r2files", person(OWNER))
            statuses.append(response.status_code)

    tasks = [asyncio.create_task(read()) for _ in range(4)]
    try:
        yield statuses
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def test_a_rebuild_under_load_equals_the_live_tables(gallery: RunningGallery) -> None:
    random = Random(11)
    small = event(completed(request_facts(), images=(await gallery.store(picture()),)))
    await publish(gallery, [small])
    async with asyncio.timeout(60):
        while not await gallery.count("SELECT count(*) FROM thumbnail"):
            await asyncio.sleep(0.02)
    first = history(random, 300)
    await publish(gallery, first)
    await until_listed(gallery, first)
    await act(gallery, random)
    async with under_load(gallery, random) as told:
        await asyncio.sleep(0.3)
        outcome = await rebuild(gallery)
    assert outcome.is_equal, outcome.tables
    assert {each.table for each in outcome.tables} == set(TABLES)
    assert all(each.live_rows > 0 for each in outcome.tables)
    await until_listed(gallery, [*first, *told])
    assert (await rebuild(gallery)).is_equal


async def test_a_swap_under_load_is_noticed_by_nobody(gallery: RunningGallery) -> None:
    random = Random(12)
    first = history(random, 200)
    await publish(gallery, first)
    await until_listed(gallery, first)
    await execute(gallery, "GRANT SELECT ON item TO billing")
    before = await shapes(gallery)
    async with under_load(gallery, random) as told, read_all_the_time(gallery) as statuses:
        await asyncio.sleep(0.2)
        outcomes = [await rebuild(gallery, swap=True) for _ in range(3)]
    assert all(each.is_swapped for each in outcomes), outcomes
    assert set(statuses) == {200}
    assert len(statuses) > 20
    await until_listed(gallery, [*first, *told])
    outcome = await rebuild(gallery)
    assert outcome.is_equal, outcome.tables
    assert await shapes(gallery) == before
    async with gallery.streams.database.read() as connection:
        assert await connection.fetchval("SELECT count(*) FROM parked") == 0


async def test_rows_put_right_by_hand_are_found_and_healed(gallery: RunningGallery) -> None:
    events = history(Random(13), 60)
    await publish(gallery, events)
    await until_listed(gallery, events)
    whole = await dump(gallery)
    async with gallery.streams.database.read() as connection:
        edited, removed = [
            row["id"] for row in await connection.fetch("SELECT id FROM item ORDER BY id LIMIT 2")
        ]
        added = uuid4()
        await connection.execute("UPDATE item SET prompt = 'better' WHERE id = $1", edited)
        await connection.execute("DELETE FROM item WHERE id = $1", removed)
        await connection.execute(
            "INSERT INTO item SELECT (jsonb_populate_record(item, jsonb_build_object("
            "'id', $1::uuid, 'picture_index', 99))).* FROM item WHERE id = $2",
            added,
            edited,
        )

    refused = await rebuild(gallery, swap=True)

    assert not refused.is_equal
    assert not refused.is_swapped
    (item,) = [each for each in refused.tables if not each.is_equal]
    assert (item.table, item.missing, item.extra, item.changed) == ("item", 1, 1, 1)
    assert {(each.key, each.kind) for each in item.examples} == {
        (str(edited), "changed"),
        (str(removed), "missing"),
        (str(added), "extra"),
    }
    assert await dump(gallery) != whole
    assert await dump(gallery, "gallery_shadow") == whole  # kept, to be looked at

    healed = await rebuild(gallery, swap=True, accept_differences=True)
    assert healed.is_swapped
    assert await dump(gallery) == whole
    assert (await rebuild(gallery)).is_equal


async def test_what_is_parked_is_left_out_until_it_is_redriven(gallery: RunningGallery) -> None:
    await execute(gallery, "ALTER TABLE item ADD CONSTRAINT no_cats CHECK (prompt <> 'cats')")
    good = event(completed())
    cats = event(completed(request_facts(prompt="cats")))
    await gallery.send(encode(cats), b"no event at all", encode(good))
    await until_listed(gallery, [good])
    outcome = await rebuild(gallery)
    assert outcome.is_equal, outcome.tables
    assert [each.live_rows for each in outcome.tables] == [1, 1, 1, 0, 0, 0, 0, 0, 0]

    await execute(gallery, "ALTER TABLE item DROP CONSTRAINT no_cats")
    async with (
        gallery.bus.log() as log,
        Rebuild.open(PROJECTION, dsn=gallery.streams.dsn, log=log) as rebuilding,
    ):
        await rebuilding.fill()
        await redrive(gallery)
        tables = await rebuilding.compare()
    assert all(each.is_equal for each in tables), tables
    assert [each.live_rows for each in tables] == [2, 2, 2, 0, 0, 0, 0, 0, 0]


async def redrive(gallery: RunningGallery) -> None:
    letters = DeadLetters(
        types=consumers.EVENT_TYPES,
        handler=consumers.take_in,
        settle=refuse({}),
        database=gallery.streams.database,
        clock=gallery.streams.clock,
    )
    for row in await letters.find(Filter(), after=0, limit=10):
        await letters.redrive(row.parked_id, actor=uuid4(), is_dry_run=False)


async def test_a_second_rebuild_at_the_same_time_is_refused(
    gallery: RunningGallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("libs.runtime.rebuild.engine.LOCK_WAIT_MS", 100)
    async with (
        gallery.bus.log() as log,
        Rebuild.open(PROJECTION, dsn=gallery.streams.dsn, log=log),
    ):
        with pytest.raises(RebuildError, match="Another rebuild of gallery is at work"):
            await rebuild(gallery)
    assert (await rebuild(gallery)).is_equal


KILL = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE application_name = 'daygen-rebuild-gallery' AND datname = current_database()
"""
POINTS = {
    "filling": "libs.runtime.rebuild.filling.Filling._copy",
    "dressing": "libs.runtime.rebuild.shadow.dress",
    "catching up": "libs.runtime.rebuild.fold.Fold.apply",
    "comparing": "libs.runtime.rebuild.engine.compare",
    "swapping": "libs.runtime.rebuild.shadow.move_into_place",
}


@pytest.mark.parametrize("point", POINTS)
async def test_a_rebuild_that_dies_leaves_the_live_tables_and_the_next_one_begins_anew(
    gallery: RunningGallery, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    events = history(Random(14), 60)
    await publish(gallery, events)
    await until_listed(gallery, events)
    await execute(gallery, "UPDATE item SET prompt = 'better'")
    before = await dump(gallery)
    module, _, name = POINTS[point].rpartition(".")

    async def killed(*arguments: object, **options: object) -> object:
        done = await original(*arguments, **options)
        async with gallery.streams.database.read() as connection:
            await connection.execute(KILL)
        return done

    with monkeypatch.context() as patch:
        target = _target(module)
        original = getattr(target, name)
        patch.setattr(target, name, killed)
        with pytest.raises(RebuildError, match="hung up"):
            await rebuild(gallery, swap=True, accept_differences=True)
    assert await dump(gallery) == before
    assert (await rebuild(gallery, swap=True, accept_differences=True)).is_swapped
    assert await dump(gallery) != before
    assert (await rebuild(gallery)).is_equal


def _target(path: str) -> object:
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError:
        module, _, name = path.rpartition(".")
        return getattr(importlib.import_module(module), name)


async def test_until_a_time_folds_no_later_event(gallery: RunningGallery) -> None:
    events = [event(completed(), time=NOW + timedelta(minutes=each)) for each in range(6)]
    await gallery.tell(*events)
    await until_listed(gallery, events)
    outcome = await rebuild(gallery, until=Until(moment=NOW + timedelta(minutes=2)))
    assert outcome.is_kept
    assert outcome.tables == ()
    assert await _jobs(gallery, "gallery_shadow") == _job_ids(events[:3])
    assert await _jobs(gallery, "gallery") == _job_ids(events)


async def test_until_a_position_folds_up_to_it(gallery: RunningGallery) -> None:
    account_id = uuid4()  # of one, so that all are on one partition
    events = [event(completed(request_facts(account_id=account_id))) for _ in range(5)]
    await gallery.tell(*events)
    await until_listed(gallery, events)
    async with gallery.bus.log() as log:
        extents = await log.extents([Topic.GENERATION])
    (number,) = [each.partition for each, held in extents.items() if held]
    until = Until(positions={(Topic.GENERATION.value, number): 2})
    assert (await rebuild(gallery, until=until)).is_kept
    assert await _jobs(gallery, "gallery_shadow") == _job_ids(events[:2])
    with pytest.raises(RebuildError, match="give that position or an earlier one"):
        await rebuild(gallery, until=Until(positions={(Topic.GENERATION.value, number): 6}))


async def _jobs(gallery: RunningGallery, schema: str) -> set[UUID]:
    async with gallery.streams.database.read() as connection:
        rows = await connection.fetch(f"SELECT job_id FROM {schema}.confirmation")
    return {row["job_id"] for row in rows}


def _job_ids(events: Sequence[Event[Payload]]) -> set[UUID]:
    return {each.data.job_id for each in events if isinstance(each.data, GenerationCompleted)}
