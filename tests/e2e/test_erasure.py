"""A person who leaves: log-in, pictures and words go everywhere, the books stay."""

import asyncio
import secrets
from pathlib import Path

from libs.events.names import Service
from tests.e2e.erased import words_left
from tests.e2e.system import PASSWORD, System, until
from tools.api_client import ApiClient
from tools.invariants import what_is_wrong


async def test_whoever_is_erased_leaves_no_words_and_no_pictures(system: System) -> None:
    word = f"word{secrets.token_hex(8)}"
    email = f"{secrets.token_hex(8)}@example.com"
    url = system.status()["gateway_url"]
    async with ApiClient(url) as person:
        await person.sign_up(email, PASSWORD)
        order = {"prompt": f"a {word} harbour", "model": "local-sketch"}
        made = await person.call("POST", "/api/image/local", json=order)
        job = await person.call("GET", f"/api/jobs/{made['jobId']}")
        picture = job["resultUrl"]
        _, content = await person.download(picture)
        assert content
        assert await words_left(system, word)
        under_way = [
            await person.call("POST", "/api/jobs", json={**order, "provider": "local"})
            for _ in range(3)
        ]
        status, _ = await person.answer("DELETE", "/api/users/me", json={"password": PASSWORD})
        assert status == 204
        assert (await person.answer("GET", "/api/auth/me"))[0] == 401
        assert (await person.answer("POST", "/api/jobs", json=order))[0] == 401
        login = {"email": email, "password": PASSWORD}
        assert (await person.answer("POST", "/api/auth/login", json=login))[0] == 401

    async def is_forgotten() -> bool:
        return not await words_left(system, word)

    await until(is_forgotten, seconds=90)
    ids = [each["jobId"] for each in under_way]

    async def has_ended() -> bool:
        async with system.database() as connection:
            return not await what_is_wrong(connection)

    await until(has_ended, seconds=90)
    states = await system.scalar(
        "SELECT array_agg(DISTINCT status) FROM gateway.job WHERE job_id = ANY($1::uuid[])", ids
    )
    assert set(states) <= {"CANCELLED", "COMPLETED"}  # what was too late to end is charged
    user_id = await system.scalar("SELECT user_id FROM gateway.job WHERE job_id = $1", ids[0])
    assert not await system.scalar("SELECT count(*) FROM gallery.item WHERE user_id = $1", user_id)
    assert await system.scalar(
        "SELECT count(*) FROM ledger.transaction WHERE account_id = $1", user_id
    )

    async def is_deleted() -> bool:
        return not await system.scalar("SELECT count(*) FROM gallery.doomed_object")

    await until(is_deleted, seconds=90)
    for service in Service:  # Kafka has the words still: what is made anew from it has not
        rebuilt = await asyncio.to_thread(system.command, "rebuild", service.value, check=False)
        assert rebuilt.returncode == 0, rebuilt.stdout + rebuilt.stderr
    assert not await words_left(system, word)
    async with ApiClient(url) as again:
        assert (await again.answer("GET", picture.removeprefix(url)))[0] == 404
        await again.sign_up(email, PASSWORD)  # the address is free
        assert (await again.call("GET", "/api/auth/me"))["id"] != str(user_id)


async def test_an_administrator_erases_somebody_once(system: System) -> None:
    now = system.status()
    password = await asyncio.to_thread(Path(now["admin"]["password_file"]).read_text)
    async with system.person() as person, ApiClient(now["gateway_url"]) as admin:
        user_id = (await person.call("GET", "/api/auth/me"))["id"]
        assert (await person.answer("DELETE", f"/api/admin/users/{user_id}"))[0] == 403
        await admin.log_in(now["admin"]["email"], password.strip())
        assert (await admin.answer("DELETE", f"/api/admin/users/{user_id}"))[0] == 204
        assert (await person.answer("GET", "/api/auth/me"))[0] == 401
        status, body = await admin.answer("DELETE", f"/api/admin/users/{user_id}")
        assert (status, body["type"].rpartition(":")[2]) == (404, "user_not_found")
