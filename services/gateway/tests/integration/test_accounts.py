"""Sign-up, log-in and tokens, through HTTP."""

import asyncio
import statistics
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from libs.events.identity import UserRegistered
from services.gateway.tests.integration.conftest import (
    ORIGIN,
    PASSWORD,
    RunningGateway,
    Start,
)


async def test_a_new_user_is_logged_in_with_their_credits(gateway: RunningGateway) -> None:
    body = {"email": " Ada@Example.com ", "password": PASSWORD, "displayName": " Ada "}
    answer = await gateway.client.post("/api/auth/signup", json=body)
    assert answer.status_code == 201
    session = answer.json()
    user = session["user"]
    assert set(session) == {"accessToken", "user"}
    assert user.pop("id") == user.pop("authUserId")
    assert user.pop("createdAt") == user.pop("updatedAt")
    assert user == {
        "email": "ada@example.com",
        "displayName": "Ada",
        "credits": 20,
        "profileImage": None,
        "role": "USER",
    }
    me = await gateway.client.get(
        "/api/auth/me", headers={"Authorization": f"Bearer {session['accessToken']}"}
    )
    assert me.status_code == 200
    assert me.json() == session["user"] | me.json()


async def test_a_sign_up_opens_the_account_and_announces_it(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    (announced,) = await gateway.published()
    assert announced == UserRegistered(
        user_id=ada.user_id, account_id=ada.user_id, role="USER", signup_credits=20, grace=0
    )
    row = "SELECT (version, settled, grace, held) FROM credit_account WHERE account_id = $1"
    assert await gateway.value(row, ada.user_id) == (0, 20, 0, 0)


async def test_of_parallel_sign_ups_exactly_one_succeeds(gateway: RunningGateway) -> None:
    forms = ["user@example.com", "User@Example.com", " USER@EXAMPLE.COM ", "user@EXAMPLE.com"]
    answers = await asyncio.gather(
        *(
            gateway.client.post("/api/auth/signup", json={"email": form, "password": PASSWORD})
            for form in forms * 3
        )
    )
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 11
    for answer in answers:
        if answer.status_code == 409:
            assert answer.json()["error"] == "Email is already registered"
            assert answer.json()["message"] == "Email is already registered"
    assert await gateway.value("SELECT count(*) FROM users") == 1
    assert await gateway.value("SELECT count(*) FROM credit_account") == 1
    assert len(await gateway.published()) == 1


async def test_the_database_itself_refuses_a_second_form_of_an_address(
    gateway: RunningGateway,
) -> None:
    await gateway.sign_up("user@example.com")
    with pytest.raises(asyncpg.UniqueViolationError):
        await gateway.run(
            "INSERT INTO users (user_id, email, password_hash, role, created_at, updated_at)"
            " VALUES ($1, ' USER@example.com', 'x', 'USER', now(), now())",
            uuid4(),
        )


async def test_a_bad_sign_up_is_refused_with_the_texts_clients_know(
    gateway: RunningGateway,
) -> None:
    no_email, short = "Please enter a valid email address", "Password must be at least 8 characters"
    bad: tuple[tuple[dict[str, Any], str], ...] = (
        ({"email": "nobody", "password": PASSWORD}, no_email),
        ({"password": PASSWORD}, no_email),
        ({"email": "a@b.cd", "password": "short"}, short),
        ({"email": "a@b.cd"}, short),
    )
    for body, sentence in bad:
        answer = await gateway.client.post(
            "/api/auth/signup", json=body, headers={"Origin": ORIGIN}
        )
        assert answer.status_code == 400
        assert answer.json()["message"] == answer.json()["error"] == sentence
        assert answer.headers["access-control-allow-origin"] == ORIGIN


async def test_a_log_in_takes_any_form_of_the_address(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up("ada@example.com")
    body = {"email": " ADA@example.com", "password": PASSWORD}
    answer = await gateway.client.post("/api/auth/login", json=body)
    assert answer.status_code == 200
    assert answer.json()["user"]["id"] == str(ada.user_id)


async def test_wrong_passwords_and_unknown_addresses_look_and_last_alike(
    gateway: RunningGateway,
) -> None:
    await gateway.sign_up("ada@example.com")
    seconds: dict[str, list[float]] = {"ada@example.com": [], "eve@example.com": []}
    for email in list(seconds) * 8:
        started = time.perf_counter()
        answer = await gateway.client.post(
            "/api/auth/login", json={"email": email, "password": "wrong horse"}
        )
        seconds[email].append(time.perf_counter() - started)
        assert answer.status_code == 401
        assert answer.json()["message"] == "Invalid email or password"
    known, unknown = (statistics.median(each) for each in seconds.values())
    assert unknown > known / 2


async def test_a_log_in_that_could_never_fit_is_refused_alike(gateway: RunningGateway) -> None:
    for email in (None, "", "\x00", "x"):
        answer = await gateway.client.post(
            "/api/auth/login", json={"email": email, "password": None}
        )
        assert (answer.status_code, answer.json()["message"]) == (401, "Invalid email or password")


async def test_a_token_of_a_missing_user_is_unauthorised_everywhere(
    gateway: RunningGateway,
) -> None:
    headers = {"Authorization": f"Bearer {gateway.tokens.issue(uuid4(), 'USER', uuid4())}"}
    for method, path in (
        ("GET", "/api/auth/me"),
        ("POST", "/api/jobs"),
        ("GET", f"/api/jobs/{uuid4()}"),
        ("GET", f"/api/jobs/{uuid4()}/events"),
        ("GET", "/api/r2files"),
    ):
        body = {"provider": "local", "prompt": "a fox"} if method == "POST" else None
        answer = await gateway.client.request(method, path, headers=headers, json=body)
        assert answer.status_code == 401
        without = await gateway.client.request(method, path, json=body)
        assert without.status_code == 401


async def test_hashing_does_not_stop_the_gateway(gateway: RunningGateway) -> None:
    async def ask() -> float:
        started = time.perf_counter()
        assert (await gateway.client.get("/health/live")).status_code == 200
        return time.perf_counter() - started

    log_ins = [
        asyncio.create_task(
            gateway.client.post(
                "/api/auth/login", json={"email": f"a{number}@b.cd", "password": PASSWORD}
            )
        )
        for number in range(24)
    ]
    waits = [await ask() for _ in range(20)]
    await asyncio.gather(*log_ins)
    assert statistics.median(waits) < 0.1


async def test_two_replicas_make_one_admin(start_gateway: Start, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("a long random password\n", encoding="utf-8")
    admin = {"admin_email": "Admin@Example.com", "admin_password_file": secret}
    one, _ = await asyncio.gather(start_gateway(**admin), start_gateway(**admin))
    again = await start_gateway(**admin)
    assert await one.value("SELECT array_agg(role) FROM users") == ["ADMIN"]
    body = {"email": "admin@example.com", "password": "a long random password"}
    answer = await again.client.post("/api/auth/login", json=body)
    assert answer.status_code == 200
    assert answer.json()["user"]["role"] == "ADMIN"
