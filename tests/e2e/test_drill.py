"""`./daygen drill` on the running system: faults are survived, and a broken promise is told."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from tests.e2e.system import System
from tools.api_client import Json
from tools.drill.plan import Kind
from tools.invariants import what_is_wrong

FAULTS = len(Kind)
SEED = 4


async def drill(system: System, *arguments: str) -> tuple[int, Json]:
    done = await asyncio.to_thread(system.command, "drill", "--json", *arguments, check=False)
    assert done.stdout, done.stderr
    found: Json = json.loads(done.stdout)
    return done.returncode, found


async def test_a_short_round_of_every_kind_of_fault_breaks_no_promise(system: System) -> None:
    await system.until_ready()
    code, report = await drill(system, "--seed", str(SEED), "--faults", str(FAULTS))
    assert report["broken"] == {}
    assert code == 0
    assert (report["lost"], report["doubled"], report["books"]) == (0, 0, 0)
    ended = report["completed"] + report["failed"] + report["cancelled"]
    assert report["accepted"] == ended > 0
    assert {each["fault"]["kind"] for each in report["faults"]} == set(Kind)
    assert all(each["ready_seconds"] is not None for each in report["faults"])


PLANTED = {
    "completed jobs with fewer gallery entries than pictures": """
        DELETE FROM gallery.item WHERE job_id = $1""",
    "jobs without a usage row": "DELETE FROM billing.usage WHERE job_id = $1",
    "accounts whose held credits are not their open holds": """
        UPDATE gateway.credit_account SET held = held + 1
         WHERE account_id = (SELECT account_id FROM gateway.job WHERE job_id = $1)""",
    "accounts whose copy differs from the ledger": """
        UPDATE gateway.credit_account SET settled = settled + 1
         WHERE account_id = (SELECT account_id FROM gateway.job WHERE job_id = $1)""",
    "open holds": "UPDATE gateway.hold SET closed_at = NULL WHERE subject_id = $1",
    "jobs that have not ended": "UPDATE gateway.job SET status = 'PROCESSING' WHERE job_id = $1",
}


async def completed_job(connection: "asyncpg.Connection[asyncpg.Record]") -> object:
    return await connection.fetchval(
        "SELECT job_id FROM gateway.job WHERE status = 'COMPLETED' LIMIT 1"
    )


@asynccontextmanager
async def never_committed(
    connection: "asyncpg.Connection[asyncpg.Record]",
) -> AsyncIterator[None]:
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield
    finally:
        await transaction.rollback()


@pytest.mark.parametrize("name", PLANTED)
async def test_what_is_planted_in_the_tables_is_found(system: System, name: str) -> None:
    await make_one(system)
    async with system.database() as connection, never_committed(connection):
        await connection.execute(PLANTED[name], await completed_job(connection))
        assert name in await what_is_wrong(connection)


async def make_one(system: System) -> None:
    async with system.person() as person:
        await person.call(
            "POST", "/api/image/local", json={"prompt": "a pear", "model": "local-sketch"}
        )


async def test_a_missing_gallery_row_is_reported_with_exit_code_1(system: System) -> None:
    await make_one(system)
    async with system.database() as connection:
        job_id = await completed_job(connection)
        await connection.execute(
            "CREATE TEMPORARY TABLE kept AS SELECT * FROM gallery.item WHERE job_id = $1", job_id
        )
        await connection.execute("DELETE FROM gallery.item WHERE job_id = $1", job_id)
        try:
            code, report = await drill(system, "--rounds", "0")
        finally:
            await connection.execute("INSERT INTO gallery.item SELECT * FROM kept")
    assert code == 1
    assert report["lost"] == 1
    assert report["broken"] == {"completed jobs with fewer gallery entries than pictures": 1}
