"""`./daygen rebuild`, `verify` and `assets` on a system that serves, and that was tampered with."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from libs.events.bus import KafkaBus
from libs.events.envelope import encode
from libs.events.names import Service, Topic
from libs.events.testing import completed, event
from libs.events.transport import OutgoingMessage
from libs.runtime.objects_s3 import S3ObjectStore, S3Options
from tests.e2e.conftest import ENVIRONMENT
from tests.e2e.system import System
from tools.api_client import ApiClient, Json
from tools.invariants import what_is_wrong
from tools.places import ROOT

TERMINAL = "status IN ('COMPLETED', 'FAILED', 'CANCELLED')"
ORDER = {"prompt": "a plum", "model": "local-sketch", "provider": "local", "operation": "image"}


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """One of its own: what other tests leave in the topics would be drift."""
    system = System(tmp_path_factory.mktemp("verified") / "home", ENVIRONMENT)
    system.command("up", "--detach", "--port", "0")
    yield system
    system.command("down")


async def run(system: System, *arguments: str) -> tuple[int, Json]:
    """A command's exit code and what it says to programs."""
    done = await asyncio.to_thread(system.command, *arguments, "--json", check=False)
    assert done.stdout, done.stderr
    found: Json = json.loads(done.stdout)
    return done.returncode, found


@asynccontextmanager
async def jobs_all_the_time(system: System) -> AsyncIterator[list[int]]:
    """Statuses of the answers to people who ask for pictures and look at their lists."""
    statuses: list[int] = []
    stop = asyncio.Event()

    async def ask(person: ApiClient) -> None:
        for _ in range(9):
            status, _ = await person.answer("POST", "/api/jobs", json=ORDER)
            statuses.append(status)
            for path in ("/api/r2files", "/api/credits/balance", "/api/usage/mine"):
                status, _ = await person.answer("GET", path)
                statuses.append(status)
            if stop.is_set():
                return
            await asyncio.sleep(0.05)

    async def work() -> None:
        while not stop.is_set():
            async with system.person() as person:
                await ask(person)

    task = asyncio.create_task(work())
    try:
        yield statuses
    finally:
        stop.set()
        await task


async def at_rest(system: System) -> None:
    """Wait until every job has ended and everybody has heard of it."""
    query = f"""SELECT (SELECT count(*) FROM gateway.job WHERE NOT {TERMINAL})
                     + (SELECT count(*) FROM gateway.hold WHERE closed_at IS NULL)"""
    async with asyncio.timeout(90):
        while await system.scalar(query):
            await asyncio.sleep(0.2)


async def test_everything_is_verified_and_swapped_while_it_serves(system: System) -> None:
    async with jobs_all_the_time(system) as statuses:
        await asyncio.sleep(2)
        code, verified = await run(system, "verify")
        assert (code, verified["drift"]) == (0, False), verified
        for service in Service:
            code, outcome = await run(system, "rebuild", service.value, "--swap")
            assert code == 0, outcome
            assert outcome["equal"]
            assert any(table["live_rows"] > 0 for table in outcome["tables"])
    assert set(statuses) <= {200, 202}
    await at_rest(system)
    async with system.database() as connection:
        assert await what_is_wrong(connection) == {}
    code, verified = await run(system, "verify")
    assert (code, verified["drift"]) == (0, False), verified


PLANTED = {
    "gallery": "DELETE FROM gallery.item WHERE id = (SELECT id FROM gallery.item LIMIT 1)",
    "billing": """UPDATE billing.usage SET provider_ms = provider_ms + 1
                   WHERE id = (SELECT id FROM billing.usage LIMIT 1)""",
    "ledger": """UPDATE ledger.account SET grace = grace + 1
                  WHERE id = (SELECT id FROM ledger.account WHERE version > 0 LIMIT 1)""",
    "generation": """UPDATE generation.attempt SET provider_cost_microusd = 7
                      WHERE id = (SELECT id FROM generation.attempt WHERE state = 'won' LIMIT 1)""",
    "gateway": """UPDATE gateway.credit_account SET settled = settled + 1
                   WHERE account_id = (SELECT account_id FROM gateway.job LIMIT 1)""",
}


async def test_rows_changed_by_hand_are_found_and_healed(system: System) -> None:
    await make_one(system)
    async with system.database() as connection:
        for statement in PLANTED.values():
            assert await connection.execute(statement) in {"DELETE 1", "UPDATE 1"}
    code, verified = await run(system, "verify")
    assert (code, verified["drift"]) == (1, True)
    differing = {each["service"] for each in verified["projections"] if not each["equal"]}
    assert differing == set(PLANTED)
    code, refused = await run(system, "rebuild", "gallery", "--swap")
    assert (code, refused["is_swapped"], refused["adopted_rows"]) == (1, False, 0)
    for service in PLANTED:
        code, healed = await run(system, "rebuild", service, "--swap", "--accept-differences")
        assert code == 0, healed
    code, verified = await run(system, "verify")
    assert (code, verified["drift"]) == (0, False), verified


async def make_one(system: System) -> None:
    async with system.person() as person:
        await person.call("POST", "/api/image/local", json=ORDER)


async def test_a_rebuild_killed_in_the_middle_changes_nothing(system: System) -> None:
    await make_one(system)
    async with system.database() as connection:
        await connection.execute("UPDATE gallery.item SET prompt = 'better'")
    arguments = ["rebuild", "gallery", "--swap", "--accept-differences", "--home", str(system.home)]
    for delay in (0.6, 0.9, 1.2, 1.5):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tools.cli", *arguments, cwd=ROOT
        )
        await asyncio.sleep(delay)
        if process.returncode is None:
            process.kill()
        await process.wait()
        rows = await system.scalar("SELECT count(*) FROM gallery.item")
        better = await system.scalar("SELECT count(*) FROM gallery.item WHERE prompt = 'better'")
        assert rows > 0
        assert better in {0, rows}  # all or nothing, whenever the swap was
    code, healed = await run(system, "rebuild", "gallery", "--swap", "--accept-differences")
    assert code == 0, healed
    assert await system.scalar("SELECT count(*) FROM gallery.item WHERE prompt = 'better'") == 0


async def test_topics_and_books_that_were_tampered_with_are_told(system: System) -> None:
    await make_one(system)
    async with system.database() as connection:
        row = "order_number = (SELECT min(order_number) FROM ledger.outbox)"
        await connection.execute(f"UPDATE ledger.outbox SET encoded = encoded || ' ' WHERE {row}")
        await connection.execute("UPDATE gateway.credit_account SET held = held + 1")
        code, verified = await run(system, "verify")
        topics = _topics(verified)
        assert code == 1
        assert (topics["ledger"]["altered"], topics["ledger"]["unknown"]) == (1, 1)
        assert "accounts whose held credits are not their open holds" in verified["books"]
        whole = "substr(encoded, 1, length(encoded) - 1)"
        await connection.execute(f"UPDATE ledger.outbox SET encoded = {whole} WHERE {row}")
        await connection.execute("UPDATE gateway.credit_account SET held = held - 1")
    assert (await run(system, "verify"))[0] == 0
    # Told by nobody's outbox, and for ever in the topic.
    bus = KafkaBus(system.status()["kafka"]["bootstrap"], client_id="forger")
    forged = event(completed(), source=Service.LEDGER, event_id=uuid4())
    await bus.publish([OutgoingMessage(Topic.OPERATIONS, b"key", encode(forged))])
    await bus.close()
    code, verified = await run(system, "verify")
    assert code == 1
    assert _topics(verified)["ledger"]["unknown"] == 1
    assert all(each["equal"] for each in verified["projections"])


def _topics(verified: Json) -> dict[str, Any]:
    return {each["service"]: each for each in verified["topics"]["services"]}


@asynccontextmanager
async def bucket_of(system: System) -> AsyncIterator[S3ObjectStore]:
    """The storage of a home, as whoever tampers with it has it."""
    at = system.status()["s3"]
    options = S3Options(
        endpoint=at["endpoint"],
        region=at["region"],
        bucket=at["bucket"],
        access_key=SecretStr(at["access_key"]),
        secret_key=SecretStr(at["secret_key"]),
    )
    async with S3ObjectStore.connect(options) as bucket:
        yield bucket


async def keys_of_pictures(system: System) -> list[str]:
    async with system.database() as connection:
        return [row["key"] for row in await connection.fetch("SELECT key FROM gallery.asset")]


@pytest.mark.timeout(120)
async def test_objects_that_nobody_needs_are_found_and_swept(system: System) -> None:
    await make_one(system)
    await at_rest(system)
    shown = await keys_of_pictures(system)
    job, attempt = shown[0].split("/")[1:3]
    orphans = {
        f"uploads/{uuid4()}.png",
        f"thumbnails/{uuid4()}.webp",
        f"attempts/{uuid4()}/{uuid4()}/1.jpg",
        f"attempts/{job}/{attempt}/77.jpg",  # beside what the same attempt has delivered
        f"profiles/{uuid4()}/{'0' * 64}.png",
        f"inputs/2026-01-01/{'0' * 64}.png",
    }
    stranger = "backups/of-somebody.tar"
    async with bucket_of(system) as bucket:
        code, found = await run(system, "assets", "sweep", "--older-than", "0s")
        assert (code, found["orphans"]) == (0, 0), found
        for key in (*orphans, stranger):
            await bucket.put(key, b"left behind", content_type="image/png")
        code, found = await run(system, "assets", "sweep")
        assert (code, found["orphans"], found["young"]) == (1, 0, len(orphans)), found
        code, found = await run(system, "assets", "sweep", "--older-than", "0s")
        assert (code, set(found["orphan_keys"])) == (1, orphans), found
        assert (found["deleted"], found["stranger_keys"]) == (0, [stranger])
        code, found = await run(system, "assets", "sweep", "--older-than", "0s", "--delete")
        assert (code, found["deleted"]) == (1, len(orphans)), found  # the stranger's is there yet
        left = {each.key async for each in bucket.list("")}
        assert not left & orphans
        assert left >= {stranger, *shown}
        await bucket.delete([stranger])
    code, found = await run(system, "assets", "sweep", "--older-than", "0s")
    assert (code, found["orphans"]) == (0, 0), found


@pytest.mark.timeout(120)
async def test_objects_of_work_under_way_are_left_alone(system: System) -> None:
    await make_one(system)
    await at_rest(system)
    unheard, announced = uuid4(), f"uploads/{uuid4()}.png"
    keys = {f"attempts/{unheard}/{uuid4()}/1.jpg", announced}
    async with bucket_of(system) as bucket, system.database() as connection:
        for key in keys:
            await bucket.put(key, b"of work under way", content_type="image/png")
        # A job has ended, and its pictures are not listed yet; an upload is being taken.
        columns = await connection.fetchval(
            """SELECT string_agg(column_name, ', ') FROM information_schema.columns
                WHERE (table_schema, table_name, is_generated) = ('generation', 'job', 'NEVER')
                  AND column_name <> 'id'"""
        )
        await connection.execute(
            f"""INSERT INTO generation.job (id, {columns})
                SELECT $1, {columns} FROM generation.job WHERE state = 'completed' LIMIT 1""",
            unheard,
        )
        await connection.execute(
            "INSERT INTO gallery.announced_object VALUES ($1, now() + interval '1 day')", announced
        )
        code, found = await run(system, "assets", "sweep", "--older-than", "0s", "--delete")
        assert (code, found["deleted"], found["held"]["under_way"]) == (0, 0, 2), found
        await connection.execute("DELETE FROM generation.job WHERE id = $1", unheard)
        await connection.execute("DELETE FROM gallery.announced_object")
        code, found = await run(system, "assets", "sweep", "--older-than", "0s", "--delete")
        assert (code, found["deleted"], set(found["orphan_keys"])) == (0, 2, keys), found


@pytest.mark.timeout(120)
async def test_a_flipped_byte_and_a_missing_object_are_found(system: System) -> None:
    await make_one(system)
    await make_one(system)
    await at_rest(system)
    flipped, lost, *_ = await keys_of_pictures(system)
    async with bucket_of(system) as bucket:
        code, found = await run(system, "assets", "verify")
        assert (code, found["whole"]) == (0, True), found
        kept = {}
        for key in (flipped, lost):
            async with bucket.open(key) as body:
                kept[key] = await body.read()
        damaged = bytearray(kept[flipped])
        damaged[len(damaged) // 2] ^= 1
        await bucket.put(flipped, bytes(damaged), content_type="image/jpeg")
        await bucket.delete([lost])
        code, found = await run(system, "assets", "verify")
        assert (code, found["changed_keys"], found["missing_keys"]) == (1, [flipped], [lost])
        for key, content in kept.items():
            await bucket.put(key, content, content_type="image/jpeg")
    code, found = await run(system, "assets", "verify")
    assert (code, found["whole"]) == (0, True), found
