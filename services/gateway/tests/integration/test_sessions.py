"""Log-ins that end before their time, passwords that change, and guessing that is stopped."""

import asyncio
from typing import Any

import httpx2
import pytest

from libs.events.identity import SessionsRevoked
from services.gateway.tests.integration.conftest import PASSWORD, Person, RunningGateway, Start
from services.gateway.tests.integration.test_history import told

WAIT_SECONDS = 60.0
JOB = {"provider": "local", "prompt": "a fox in the snow"}
NEW = "another horse entirely"


async def log_in(gateway: RunningGateway, email: str, password: str = PASSWORD) -> httpx2.Response:
    body = {"email": email, "password": password}
    return await gateway.client.post("/api/auth/login", json=body)


async def assert_out(person: Person) -> None:
    for path in ("/api/auth/me", "/api/r2files", "/api/keys", "/api/users/balances"):
        assert (await person.get(path)).status_code == 401, path
    for path, body in (("/api/jobs", JOB), ("/api/quote", JOB), ("/api/image/local", JOB)):
        answer = await person.post(path, body)
        assert (answer.status_code, answer.json()["code"]) == (401, "unknown_user"), path


async def sign_out(person: Person) -> None:
    assert (await person.post("/api/auth/signout-everywhere", None)).status_code == 204


async def change_password(person: Person) -> None:
    body = {"currentPassword": PASSWORD, "newPassword": NEW}
    answer = await person.post("/api/auth/change-password", body)
    assert answer.status_code == 200, answer.text
    fresh = Person(person.user_id, answer.json()["accessToken"], person.client)
    assert (await fresh.get("/api/auth/me")).status_code == 200


@pytest.mark.parametrize("end", [sign_out, change_password])
async def test_all_log_ins_end_on_every_replica_and_streams_with_them(
    start_gateway: Start, end: Any
) -> None:
    one, two = await start_gateway(), await start_gateway()
    ada = await one.sign_up("ada@example.com")
    second = (await log_in(two, "ada@example.com")).json()["accessToken"]
    elsewhere = Person(ada.user_id, second, two.client)
    job_id = await ada.start_job()
    assert (await elsewhere.get("/api/auth/me")).status_code == 200
    async with (
        asyncio.timeout(WAIT_SECONDS),
        elsewhere.client.stream(
            "GET", f"/api/jobs/{job_id}/events", headers=elsewhere.headers
        ) as stream,
    ):
        lines = stream.aiter_lines()
        while not (await anext(lines)).startswith("data:"):
            pass
        started = asyncio.get_running_loop().time()
        await end(ada)
        async for _ in lines:  # to its end
            pass
        assert asyncio.get_running_loop().time() - started < 5  # long before the safety look
    await assert_out(ada)
    await assert_out(elsewhere)
    ended = [each for each in await one.published() if isinstance(each, SessionsRevoked)]
    assert [(each.user_id, each.session_epoch) for each in ended] == [(ada.user_id, 1)]


async def test_a_ban_ends_log_ins_and_the_person_may_come_back_to_look(
    gateway: RunningGateway,
) -> None:
    ada, admin = await gateway.sign_up("ada@example.com"), await gateway.admin()
    path = f"/api/admin/users/{ada.user_id}/ban"
    assert (await admin.post(path, {"reason": "a test"})).status_code == 200
    assert (await ada.get("/api/auth/me")).status_code == 401
    assert (await ada.post("/api/jobs", JOB)).json()["code"] == "user_banned"
    again = (await log_in(gateway, "ada@example.com")).json()
    back = Person(ada.user_id, again["accessToken"], ada.client)
    assert (await back.get("/api/auth/me")).status_code == 200
    assert (await back.post("/api/jobs", JOB)).json()["code"] == "user_banned"


async def test_a_gateway_from_a_backup_learns_which_log_ins_have_ended(
    gateway: RunningGateway,
) -> None:
    ada = await gateway.sign_up()
    said = SessionsRevoked(
        user_id=ada.user_id, account_id=ada.user_id, session_epoch=2, actor=ada.user_id
    )
    await told(gateway, said)
    await assert_out(ada)
    await told(gateway, said)
    assert await gateway.value("SELECT session_epoch FROM users") == 2


async def test_a_change_of_password_asks_for_the_old_one_and_a_good_new_one(
    gateway: RunningGateway,
) -> None:
    ada = await gateway.sign_up("ada@example.com")
    for body, status, code in (
        ({"currentPassword": "wrong horse", "newPassword": NEW}, 403, "wrong_password"),
        ({"newPassword": NEW}, 403, "wrong_password"),
        ({"currentPassword": PASSWORD, "newPassword": "short"}, 400, "invalid_request"),
        ({"currentPassword": PASSWORD}, 400, "invalid_request"),
    ):
        answer = await ada.post("/api/auth/change-password", body)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert (await ada.get("/api/auth/me")).status_code == 200
    await change_password(ada)
    assert (await log_in(gateway, "ada@example.com")).status_code == 401
    assert (await log_in(gateway, "ada@example.com", NEW)).status_code == 200


async def test_leaving_asks_for_the_password(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    without = await ada.delete("/api/users/me")
    for answer in (without, await ada.erase("wrong horse")):
        assert (answer.status_code, answer.json()["code"]) == (403, "wrong_password")
    assert (await ada.get("/api/auth/me")).status_code == 200
    assert (await ada.erase()).status_code == 204
    assert (await ada.get("/api/auth/me")).status_code == 401


async def test_guessing_is_stopped_over_replicas_for_known_and_unknown_alike(
    start_gateway: Start,
) -> None:
    few: dict[str, Any] = {"log_in_attempts": 3}
    one, two = await start_gateway(**few), await start_gateway(**few)
    await one.sign_up("ada@example.com")
    for email in ("ada@example.com", "eve@example.com"):
        answers = await asyncio.gather(
            *(log_in(each, email, "wrong horse") for each in [one, two] * 4)
        )
        assert sorted(each.status_code for each in answers) == [401] * 3 + [429] * 5
        refused = await log_in(two, f" {email.upper()} ")
        assert refused.status_code == 429
        assert refused.json()["code"] == "guesses_exceeded"
        assert 200 < int(refused.headers["retry-after"]) <= 300
    hashed = await one.value("SELECT string_agg(encode(subject, 'escape'), '') FROM guess")
    assert "ada" not in hashed


async def test_who_is_right_is_never_stopped(start_gateway: Start) -> None:
    gateway = await start_gateway(log_in_attempts=2)
    await gateway.sign_up("ada@example.com")
    for _ in range(6):
        assert (await log_in(gateway, "ada@example.com")).status_code == 200
    assert (await log_in(gateway, "ada@example.com", "wrong horse")).status_code == 401
    assert (await log_in(gateway, "ada@example.com")).status_code == 200


async def test_passwords_are_not_guessed_by_whoever_has_found_a_log_in(
    start_gateway: Start,
) -> None:
    gateway = await start_gateway(log_in_attempts=2)
    ada = await gateway.sign_up()
    answers = [await ada.erase(f"wrong horse {number}") for number in range(3)]
    assert [each.status_code for each in answers] == [403, 403, 429]
    body = {"currentPassword": PASSWORD, "newPassword": NEW}
    assert (await ada.post("/api/auth/change-password", body)).status_code == 429


async def test_empty_buckets_are_removed(gateway: RunningGateway) -> None:
    await gateway.run(
        "INSERT INTO guess SELECT sha256(n::text::bytea), now() - '1s'::interval"
        " FROM generate_series(1, 50) AS n"
    )
    await log_in(gateway, "eve@example.com", "wrong horse")
    assert await gateway.value("SELECT count(*) FROM guess") == 3
