"""People whom an outside issuer logs in, through HTTP."""

import asyncio
import time
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest
from pydantic import SecretStr

from libs.events.identity import ApiKeyRevoked, UserRegistered
from services.gateway.tests.integration.conftest import PASSWORD, Person, RunningGateway, Start

ISSUER = "https://project.example.com/auth/v1"
SECRET = "between the issuer and us alone: 32 bytes"
JOB = {"provider": "local", "prompt": "a fox in the snow"}


def token(subject: str, **changes: Any) -> str:
    now = time.time()
    claims = {"iss": ISSUER, "aud": "authenticated", "sub": subject, "iat": now, "exp": now + 600}
    return jwt.encode(claims | changes, SECRET, algorithm="HS256")


def person(gateway: RunningGateway, subject: str, **changes: Any) -> Person:
    return Person(uuid4(), token(subject, **changes), gateway.client)


async def me(who: Person) -> dict[str, Any]:
    answer = await who.get("/api/auth/me")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


@pytest.fixture
def outside() -> dict[str, Any]:
    return {"outside_issuer": ISSUER, "outside_secret": SecretStr(SECRET)}


async def test_the_first_token_opens_one_account_on_whatever_replica(
    start_gateway: Start, outside: dict[str, Any]
) -> None:
    one, two = await start_gateway(**outside), await start_gateway(**outside)
    people = [person(each, "ada", email="ada@example.com") for each in [one, two] * 6]
    seen = await asyncio.gather(*(me(each) for each in people))
    assert len({each["id"] for each in seen}) == 1
    assert (seen[0]["credits"], seen[0]["email"], seen[0]["role"]) == (20, "", "USER")
    announced = [each for each in await one.published() if isinstance(each, UserRegistered)]
    assert [str(each.user_id) for each in announced] == [seen[0]["id"]]
    answer = await people[0].post("/api/jobs", JOB)
    assert answer.status_code == 202
    assert (await me(person(two, "bob")))["id"] != seen[0]["id"]
    back = await one.client.post("/api/auth/oauth-callback", json={"access_token": token("ada")})
    assert back.json()["user"]["id"] == seen[0]["id"]
    hostile = await one.client.post("/api/auth/oauth-callback", json={"access_token": "x"})
    assert hostile.status_code == 401


async def test_hostile_tokens_open_nothing(start_gateway: Start, outside: dict[str, Any]) -> None:
    gateway = await start_gateway(**outside)
    for changes in (
        {"iss": "https://elsewhere.example.com"},
        {"aud": "anon"},
        {"exp": time.time() - 60},
        {"sub": ""},
        {"role": "ADMIN", "aud": "daygen-client"},
    ):
        answer = await person(gateway, "eve", **changes).get("/api/auth/me")
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized"), changes
    assert await gateway.value("SELECT count(*) FROM users") == 0
    admin = await person(gateway, "eve", role="ADMIN").get("/api/admin/price-books")
    assert admin.status_code == 403


async def test_without_an_issuer_its_tokens_are_refused(gateway: RunningGateway) -> None:
    assert (await person(gateway, "ada").get("/api/auth/me")).status_code == 401


async def test_whoever_has_the_mailbox_gets_the_account_and_nobody_else_keeps_a_key(
    start_gateway: Start, outside: dict[str, Any]
) -> None:
    gateway = await start_gateway(**outside)
    eve = await gateway.sign_up("ada@example.com")  # she only says that it is hers
    body = {"name": "robot", "scopes": ["read"]}
    key = (await eve.post("/api/keys", body)).json()["key"]
    verified = {"email": " ADA@example.com", "email_verified": True}
    ada = person(gateway, "ada", **verified)
    assert (await me(ada))["id"] == str(eve.user_id)
    assert (await eve.get("/api/auth/me")).status_code == 401
    with_key = {"Authorization": f"Bearer {key}"}
    assert (await gateway.client.get("/api/auth/me", headers=with_key)).status_code == 401
    login = {"email": "ada@example.com", "password": PASSWORD}
    assert (await gateway.client.post("/api/auth/login", json=login)).status_code == 401
    revoked = [each for each in await gateway.published() if isinstance(each, ApiKeyRevoked)]
    assert len(revoked) == 1
    # Somebody else with the same address at the issuer, and the address of an administrator.
    assert (await me(person(gateway, "second", **verified)))["id"] != str(eve.user_id)
    admin = await gateway.admin()
    address = (await me(admin))["email"]
    other = await me(person(gateway, "third", email=address, email_verified=True))
    assert (other["id"] != str(admin.user_id), other["role"]) == (True, "USER")
    assert (await admin.get("/api/auth/me")).status_code == 200


async def test_tokens_from_before_a_sign_out_or_an_erasure_open_nothing(
    start_gateway: Start, outside: dict[str, Any]
) -> None:
    gateway = await start_gateway(**outside)
    old = person(gateway, "ada", iat=time.time() - 30)
    first = UUID((await me(old))["id"])
    assert (await old.post("/api/auth/signout-everywhere", None)).status_code == 204
    assert (await old.get("/api/auth/me")).status_code == 401
    new = person(gateway, "ada", iat=time.time() + 1)
    assert UUID((await me(new))["id"]) == first
    assert (await new.delete("/api/users/me")).status_code == 204  # there is no password to ask for
    for each in (old, person(gateway, "ada", iat=time.time() - 1)):
        assert (await each.get("/api/auth/me")).status_code == 401
    assert await gateway.value("SELECT count(*) FROM users") == 0
    again = UUID((await me(person(gateway, "ada", iat=time.time() + 2)))["id"])
    assert again != first


async def test_an_account_that_came_back_from_the_streams_is_found_again(
    start_gateway: Start, outside: dict[str, Any]
) -> None:
    gateway = await start_gateway(**outside)
    ada = person(gateway, "ada")
    before = (await me(ada))["id"]
    await gateway.run("DELETE FROM outside_identity")
    assert (await me(ada))["id"] == before


async def test_pictures_of_people_from_outside_are_not_waited_for(
    start_gateway: Start, outside: dict[str, Any]
) -> None:
    gateway = await start_gateway(**outside, wait_seconds=1)
    ada = person(gateway, "ada")
    body = {"prompt": "a fox in the snow"}
    key = {"Idempotency-Key": "one"}
    answer, again = [await ada.post("/api/image/local", body, **key) for _ in range(2)]
    assert (answer.status_code, again.json()) == (202, answer.json())
    job = await ada.get(f"/api/jobs/{answer.json()['jobId']}")
    assert (job.status_code, job.json()["status"]) == (200, "PENDING")
    # Our own log-ins wait, and so do theirs where a setting says so.
    ours = await (await gateway.sign_up()).post("/api/image/local", body)
    assert ours.json()["code"] == "still_running"
    patient = await start_gateway(**outside, wait_seconds=1, outside_waits=True)
    theirs = await person(patient, "ada").post("/api/image/local", body)
    assert theirs.json()["code"] == "still_running"
