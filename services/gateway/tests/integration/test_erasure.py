"""A person who leaves the gateway: their way in, their streams, and what they are told."""

import asyncio
from uuid import UUID

from libs.events.generation import GenerationRequested
from libs.events.identity import AccountErased, UserRegistered
from libs.events.names import Topic, kept_topics
from libs.events.registry import REGISTRY
from services.gateway.tests.integration.conftest import PASSWORD, RunningGateway, Start
from services.gateway.tests.integration.test_jobs import success

WAIT_SECONDS = 60.0
WORD = "unmistakable"


async def test_an_erased_person_is_out_and_their_open_streams_end(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up("ada@example.com")
    job_id = await ada.start_job(prompt=WORD)
    async with asyncio.timeout(WAIT_SECONDS):
        async with ada.client.stream(
            "GET", f"/api/jobs/{job_id}/events", headers=ada.headers
        ) as stream:
            lines = stream.aiter_lines()
            while not (await anext(lines)).startswith("data:"):
                pass
            answer = await ada.erase()
            assert answer.status_code == 204
            async for _ in lines:  # to its end, long before the safety look
                pass
    assert (await ada.get("/api/auth/me")).status_code == 401
    assert (await ada.get(f"/api/jobs/{job_id}")).status_code == 401
    assert (await ada.post("/api/jobs", {"provider": "local", "prompt": "x"})).status_code == 401
    login = {"email": "ada@example.com", "password": PASSWORD}
    assert (await ada.client.post("/api/auth/login", json=login)).status_code == 401
    erased = [each for each in await gateway.published() if isinstance(each, AccountErased)]
    assert [(each.user_id, each.actor) for each in erased] == [(ada.user_id, ada.user_id)]
    again = await gateway.sign_up("ada@example.com")
    assert again.user_id != ada.user_id


async def test_what_is_said_of_their_jobs_later_ends_them_and_brings_nothing_back(
    gateway: RunningGateway,
) -> None:
    ada = await gateway.sign_up()
    job_id = await ada.start_job(prompt=WORD)
    said = success(await gateway.facts(job_id))
    assert (await ada.erase()).status_code == 204
    await gateway.tell(*said)
    async with asyncio.timeout(WAIT_SECONDS):
        while await gateway.value("SELECT count(*) FROM hold WHERE closed_at IS NULL"):
            await asyncio.sleep(0.02)
    async with asyncio.timeout(WAIT_SECONDS):
        while not await gateway.value("SELECT bool_and(is_blanked) FROM erased_account"):
            await asyncio.sleep(0.05)
    for what in (
        "SELECT count(*) FROM users WHERE user_id = $1",
        "SELECT count(*) FROM feed WHERE user_id = $1",
        "SELECT count(*) FROM feed_head WHERE user_id = $1",
        "SELECT count(*) FROM job WHERE user_id = $1 AND prompt || options::text <> '{}'",
        "SELECT count(*) FROM job WHERE user_id = $1 AND answer -> 'images' IS NOT NULL",
    ):
        assert await gateway.value(what, ada.user_id) == 0, what
    asked = [each for each in await gateway.published() if isinstance(each, GenerationRequested)]
    assert [each.request.prompt for each in asked] == [""]


async def test_a_gateway_from_a_backup_finds_its_accounts_and_jobs_on_kafka(
    start_gateway: Start, gateway: RunningGateway
) -> None:
    """Somebody registered before it, the others, and all jobs, came after."""
    old = await gateway.sign_up("old@example.com")
    ada, gone = await gateway.sign_up("ada@example.com"), await gateway.sign_up("gone@example.com")
    job_id = await ada.start_job()
    assert (await gone.erase()).status_code == 204
    said = success(await gateway.facts(job_id))
    published = await gateway.streams.published()
    async with asyncio.timeout(WAIT_SECONDS):
        while await gateway.value("SELECT count(*) FROM outbox_pending"):
            await asyncio.sleep(0.02)
    held = await gateway.value("SELECT held FROM credit_account WHERE account_id = $1", ada.user_id)
    await gateway.run("TRUNCATE hold, job, idempotency, recovery, erased_account")
    for table, column in (
        ("users", "user_id"),
        ("credit_account", "account_id"),
    ):
        await gateway.run(f"DELETE FROM {table} WHERE {column} <> $1", old.user_id)
    await gateway.run("DELETE FROM outbox WHERE order_number > 1")
    # The one row had not left yet when the backup was made.
    await gateway.run("INSERT INTO outbox_pending SELECT order_number, 0 FROM outbox")
    # And Kafka has been emptied and filled again since then.
    await gateway.run("UPDATE published_topic SET topic_id = gen_random_uuid()")
    ends = await _ends(gateway)
    restored = await start_gateway()
    assert sorted(await restored.streams.published()) == sorted(published)
    assert await restored.value("SELECT count(*) FROM outbox_pending") == 0
    assert await _ends(gateway) == ends  # nothing was said again
    assert (
        await restored.value("SELECT held FROM credit_account WHERE account_id = $1", ada.user_id)
        == held
    )
    users = await restored.value("SELECT array_agg(user_id) FROM users")
    assert set(users) == {old.user_id, ada.user_id}
    assert (await old.get("/api/auth/me")).json()["email"] == "old@example.com"
    login = {"email": "ada@example.com", "password": PASSWORD}
    assert (await restored.client.post("/api/auth/login", json=login)).status_code == 401
    await restored.tell(*said)
    async with asyncio.timeout(WAIT_SECONDS):
        while await _status(restored, job_id) != "COMPLETED":
            await asyncio.sleep(0.02)
    assert await restored.value("SELECT count(*) FROM parked") == 0
    await restored.sign_up()
    async with asyncio.timeout(WAIT_SECONDS):
        while await restored.value("SELECT count(*) FROM outbox_pending"):
            await asyncio.sleep(0.02)


async def _status(gateway: RunningGateway, job_id: UUID) -> str:
    return str(await gateway.value("SELECT status FROM job WHERE job_id = $1", job_id))


async def _ends(gateway: RunningGateway) -> dict[str, int]:
    async with gateway.bus.log() as log:
        extents = await log.extents([Topic.IDENTITY, Topic.GENERATION])
    return {f"{each.topic}[{each.partition}]": extent.stop for each, extent in extents.items()}


def test_an_address_is_never_on_a_stream() -> None:
    fields = {each for model in REGISTRY.models.values() for each in model.__struct_fields__}
    assert not {"email", "password", "password_hash"} & fields
    assert UserRegistered.topic.value in kept_topics()
