"""What is lost comes back: Kafka from the outboxes, the databases from Kafka and one backup."""

import asyncio
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from libs.events.names import Service
from tests.e2e.conftest import ENVIRONMENT
from tests.e2e.erased import words_left
from tests.e2e.system import PASSWORD, System, until
from tools.api_client import ApiClient
from tools.invariants import what_is_wrong

pytestmark = pytest.mark.timeout(300)

WORD = "unmistakable"
# How far each service is: not what it knows.
MACHINERY = (
    "migrations",
    "position",
    "relay_replica",
    "relay_share",
    "published_topic",
    "recovery",
    "outbox_pending",
)
TABLES = """
    SELECT relname AS name FROM pg_class WHERE relnamespace = $1::regnamespace
       AND relkind IN ('r', 'p') AND NOT relispartition AND relname <> ALL($2)
"""
# What the events tell of a decided job; of attempts that were lost they tell nothing.
GENERATION = {
    "job": "(id, account_id, provider, requested, state, attempt_id, deadline_at, failure_code)",
    "attempt": "(id, job_id, state, provider_ms, provider_cost_microusd)",
}
# All but what no event says: by which key a job came, and what was metered for it.
GATEWAY = {
    "job": "(job_id, account_id, user_id, operation, provider, model, prompt, options, units,"
    " unit_credits, price_book_version, created_at, deadline_at, workspace_id, status, stage,"
    " progress, answer, charge, listing, recorded_at)"
}
OF_SERVICE = {Service.GATEWAY: GATEWAY, Service.GENERATION: GENERATION}
COLUMNS = {
    "outbox": "(topic, key, event_id, encoded)",  # order numbers are given anew
    "erased_account": "(account_id)",  # its own log is blanked in the background
}
# Seals follow at a pace of their own: one may be made between two looks.
ROWS = {"outbox": " WHERE event_id IS NOT NULL AND key <> 'ledger-log'"}
# What goes on with every job: a provider's virtual time, and what of a limit is used.
MOVING = ("provider", "allowance", "tile")
# The feed tells its readers that something has changed: a new reader begins anew.
FORGOTTEN: Mapping[Service, tuple[str, ...]] = {
    Service.GATEWAY: (
        "feed",
        "feed_head",
        "users",
        "idempotency",
        "allowance",
        "guess",
        "inbox",
    ),
    Service.GENERATION: ("provider", "share", "inbox"),
    # Trail and log follow at a pace of their own (`./daygen verify` compares them); facts for
    # receipts come from the streams, without what an erased person has said.
    Service.LEDGER: ("inbox", "trail", "seal", "leaf", "leaf_event", "tile", "answered_job"),
}

Tables = Mapping[str, list[str]]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    system = System(tmp_path_factory.mktemp("losing") / "home", ENVIRONMENT)
    system.command("up", "--detach", "--port", "0")
    yield system
    system.command("down")


async def tables(system: System, service: Service, *, without: tuple[str, ...] = ()) -> Tables:
    """Every row of a service's tables as text."""
    found = {}
    async with system.database() as connection:
        names = await connection.fetch(TABLES, service.value, [*MACHINERY, *without])
        for name in sorted(row["name"] for row in names):
            what = {**COLUMNS, **OF_SERVICE.get(service, {})}.get(name, "row")
            rows = await connection.fetch(
                f"SELECT {what}::text AS line FROM {service}.{name} AS row{ROWS.get(name, '')}"
            )
            found[name] = sorted(row["line"] for row in rows)
    return found


async def generate(person: ApiClient, count: int) -> list[str]:
    made = [
        await person.call("POST", "/api/image/local", json={"prompt": f"a harbour, {number}"})
        for number in range(count)
    ]
    return [each["jobId"] for each in made]


async def all_is_well(system: System) -> None:
    async def well() -> bool:
        async with system.database() as connection:
            # Small copies are made behind all other work: one may come between two looks.
            waiting = await connection.fetchval("SELECT count(*) FROM gallery.thumbnail_work")
            return not waiting and not await what_is_wrong(connection)

    await until(well, seconds=90)


def lose(system: System, part: str) -> None:
    assert system.command("status", check=False).returncode
    shutil.rmtree(system.home / part)


def up(system: System) -> None:
    system.command("up", "--detach")


async def test_an_emptied_kafka_is_republished_from_the_outboxes(system: System) -> None:
    async with AsyncExitStack() as stack:
        people = [await stack.enter_async_context(system.person()) for _ in range(3)]
        for person in people:
            await generate(person, 3)
    await all_is_well(system)
    before = {service: await tables(system, service) for service in Service}
    await asyncio.to_thread(system.command, "down")
    lose(system, "kafka")
    await asyncio.to_thread(up, system)
    async with system.person() as late:
        accepted = await late.call("POST", "/api/jobs", json={"prompt": "x", "provider": "local"})
        dry = await asyncio.to_thread(system.command, "republish", check=False)
        assert dry.returncode == 1
        assert "dry run" in dry.stdout
        done = await asyncio.to_thread(system.command, "republish", "--yes")
        assert "Everything is published" in done.stdout

        async def completed() -> bool:
            job = await late.call("GET", f"/api/jobs/{accepted['jobId']}")
            return bool(job["status"] == "COMPLETED")

        await until(completed, seconds=90)
    await all_is_well(system)
    again = await asyncio.to_thread(system.command, "republish")
    assert "No topic has lost anything" in again.stdout
    for service in Service:
        after = await tables(system, service)
        for name, rows in before[service].items():
            if name not in MOVING:
                assert set(rows) <= set(after[name]), (service, name)
        new = set(after["outbox"]) - set(before[service]["outbox"])
        assert len(new) <= 3, service  # the late person's own: opening, reserve, capture at most


async def test_empty_databases_come_back_from_kafka_and_a_backup(
    system: System, tmp_path: Path
) -> None:
    backup = tmp_path / "gateway.tar"
    async with AsyncExitStack() as stack:
        early = await stack.enter_async_context(system.person())
        await generate(early, 2)
        email = (await early.call("GET", "/api/auth/me"))["email"]
        await all_is_well(system)
        gone = await stack.enter_async_context(system.person())
        gone_email = (await gone.call("GET", "/api/auth/me"))["email"]
        await gone.call("POST", "/api/image/local", json={"prompt": f"a {WORD} harbour"})
        await all_is_well(system)
        saved = await asyncio.to_thread(system.command, "backup", str(backup))
        assert "rows of users" in saved.stdout
        since = await generate(early, 2)
        late = await stack.enter_async_context(system.person())
        latest = await generate(late, 1)
        confirmed = {"password": PASSWORD}
        assert (await gone.answer("DELETE", "/api/users/me", json=confirmed))[0] == 204

        async def is_forgotten() -> bool:
            return not await words_left(system, WORD)

        await until(is_forgotten, seconds=90)
        await all_is_well(system)
        before = {
            service: await tables(system, service, without=FORGOTTEN.get(service, ()))
            for service in Service
        }
        await asyncio.to_thread(system.command, "down")
        lose(system, "postgres")
        restored = await asyncio.to_thread(system.command, "restore", str(backup))
        assert "Restored" in restored.stdout
        await asyncio.to_thread(up, system)
        await all_is_well(system)
        for service in Service:
            after = await tables(system, service, without=FORGOTTEN.get(service, ()))
            for name, rows in before[service].items():
                assert after[name] == rows, (service, name)
        for job_id in (*since, *latest):
            person = late if job_id in latest else early
            assert (await person.call("GET", f"/api/jobs/{job_id}"))["status"] == "COMPLETED"
        # The backup knew the person still, Kafka holds their words still: neither comes back.
        assert not await words_left(system, WORD)
        login = {"email": gone_email, "password": PASSWORD}
        assert (await gone.answer("POST", "/api/auth/login", json=login))[0] == 401
        await generate(late, 1)
        async with ApiClient(system.status()["gateway_url"]) as again:
            await again.log_in(email, PASSWORD)
            await generate(again, 1)
    lost = await system.scalar("SELECT count(*) FROM gateway.users WHERE email IS NULL")
    assert lost == 1
    await all_is_well(system)


async def test_a_backup_that_is_damaged_changes_nothing(system: System, tmp_path: Path) -> None:
    backup = tmp_path / "gateway.tar"
    await asyncio.to_thread(system.command, "backup", str(backup))
    running = await asyncio.to_thread(system.command, "restore", str(backup), check=False)
    assert running.returncode == 2
    assert "already runs" in running.stderr
    content = bytearray(backup.read_bytes())
    content[len(content) // 2] ^= 0xFF
    backup.write_bytes(bytes(content))
    damaged = await asyncio.to_thread(system.command, "restore", str(backup), check=False)
    assert damaged.returncode == 2
    assert "damaged" in damaged.stderr
