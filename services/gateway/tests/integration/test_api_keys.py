"""API keys through HTTP: what they open, what they never open, and their end on every replica."""

import asyncio
from typing import Any, Final
from uuid import UUID, uuid4

import pytest

from libs.events.envelope import encode
from libs.events.identity import ApiKeyCreated, ApiKeyRevoked, LimitChanged
from libs.events.testing import event
from services.gateway.tests.integration.conftest import Person, RunningGateway, Start
from services.gateway.tests.integration.listening import follow
from services.gateway.tests.integration.test_admission import BODY, assert_problem, held

KEYS = "/api/keys"


async def make(owner: Person, **body: Any) -> tuple[UUID, Person]:
    """A new key, and its bearer."""
    answer = await owner.post(KEYS, {"name": "a script", **body})
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    made = answer.json()
    return UUID(made["id"]), Person(owner.user_id, made["key"], owner.client)


async def test_a_key_generates_reads_and_is_shown_once(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    key_id, script = await make(ada)
    job_id = await script.start_job()
    assert (await script.get(f"/api/jobs/{job_id}")).status_code == 200
    assert (await script.get("/api/auth/me")).json()["credits"] == 19
    left = (await script.post("/api/quote", BODY)).json()["limits"][-1]
    assert (left["limit"], left["measure"]) == ("key", "requests")
    (listed,) = (await ada.get(KEYS)).json()["items"]
    assert listed["id"] == str(key_id)
    assert (listed["scopes"], listed["revokedAt"]) == (["read", "generate"], None)
    assert "key" not in listed
    secret = script.token.rpartition("_")[2]
    assert secret not in str(await gateway.value("SELECT to_json(k)::text FROM api_key k"))
    published = await gateway.published()
    assert (
        ApiKeyCreated(
            key_id=key_id,
            user_id=ada.user_id,
            account_id=ada.user_id,
            scopes=("read", "generate"),
        )
        in published
    )
    assert not any(secret.encode() in encode(event(each)) for each in published)
    recorded = "SELECT api_key_id FROM job WHERE job_id = $1"
    assert await gateway.value(recorded, job_id) == key_id


async def test_a_key_opens_what_its_scopes_say_and_nothing_of_administrators_or_keys(
    gateway: RunningGateway,
) -> None:
    admin = await gateway.admin()
    job_id = await admin.start_job()
    _, reader = await make(admin, scopes=["read"])
    _, maker = await make(admin, scopes=["generate"])
    for path in ("/api/jobs", "/api/quote", "/api/image/local", "/api/unified-generate"):
        refused = await reader.post(path, {**BODY, "model": "local-sketch"})
        assert_problem(refused, 403, "scope_missing", "lacks the scope generate")
    for path in (f"/api/jobs/{job_id}", f"/api/jobs/{job_id}/events", "/api/auth/me"):
        assert_problem(await maker.get(path), 403, "scope_missing", "lacks the scope read")
    for key in (reader, maker):
        for path in ("/api/admin/price-books", "/api/admin/dead-letters/gateway"):
            assert (await key.get(path)).status_code == 403
        assert_problem(
            await key.get(KEYS),
            403,
            "log_in_needed" if key is reader else "scope_missing",
            "API key may not",
        )
        answer = await key.post(KEYS, {"name": "another"})
        assert answer.status_code == 403
    assert await gateway.value("SELECT count(*) FROM api_key") == 2


@pytest.mark.usefixtures("no_slow_look")
async def test_a_revoked_key_is_refused_at_once_on_every_replica(start_gateway: Start) -> None:
    one, two = await asyncio.gather(start_gateway(), start_gateway())
    ada = await one.sign_up()
    key_id, script = await make(ada)
    there = Person(script.user_id, script.token, two.client)
    job_id = await there.start_job()  # now both replicas know the key by heart
    await script.start_job()
    is_open = asyncio.Event()
    streaming = asyncio.create_task(follow(there, job_id, is_open))
    await is_open.wait()
    for _ in range(2):
        assert (await ada.delete(f"{KEYS}/{key_id}")).status_code == 204
    for bearer in (there, script):
        assert (await bearer.post("/api/jobs", BODY)).status_code == 401
        assert (await bearer.post("/api/quote", BODY)).status_code == 401
        for path in (f"/api/jobs/{job_id}", f"/api/jobs/{job_id}/events", "/api/auth/me"):
            assert (await bearer.get(path)).status_code == 401, path
    assert await held(one, ada) == (2, 2)
    assert [each.kind for each in await streaming] == ["snapshot"]
    revoked = [each for each in await one.published() if isinstance(each, ApiKeyRevoked)]
    assert revoked == [
        ApiKeyRevoked(key_id=key_id, user_id=ada.user_id, account_id=ada.user_id, actor=ada.user_id)
    ]
    assert (await ada.get(KEYS)).json()["items"][0]["revokedAt"] is not None
    await ada.start_job()  # the log-in is as good as before


async def test_keys_of_others_are_not_there(gateway: RunningGateway) -> None:
    ada, eve = await gateway.sign_up(), await gateway.sign_up()
    key_id, script = await make(ada)
    for wrong in (str(key_id), str(uuid4()), "nonsense"):
        assert_problem(await eve.delete(f"{KEYS}/{wrong}"), 404, "api_key_not_found", "not found")
    assert (await eve.get(KEYS)).json() == {"items": []}
    await script.start_job()


NO_KEYS: Final[list[str]] = [
    "dg_",
    f"dg_{'0f' * 16}_{'a' * 43}",
    "dg_" + "x" * 5_000,
    "dg_" + "_" * 76,
]


async def test_what_is_no_key_is_nobody(gateway: RunningGateway, subtests: pytest.Subtests) -> None:
    for token in NO_KEYS:
        with subtests.test(token[:40]):
            stranger = Person(uuid4(), token, gateway.client)
            refused = await stranger.post("/api/jobs", BODY)
            assert_problem(refused, 401, "invalid_api_key", "not valid")


async def test_another_secret_under_a_known_id_is_refused(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    _, script = await make(ada)
    await script.start_job()
    forged = Person(
        ada.user_id, script.token[:-1] + ("A" if script.token[-1] != "A" else "B"), ada.client
    )
    assert (await forged.post("/api/jobs", BODY)).status_code == 401


async def test_a_repeat_by_another_key_joins_the_job(gateway: RunningGateway) -> None:
    """A key that is exchanged in the middle of a retry must not buy twice."""
    ada = await gateway.sign_up()
    _, one = await make(ada)
    _, two = await make(ada)
    answers = [
        await each.post("/api/jobs", BODY, **{"Idempotency-Key": "same"})
        for each in (one, two, ada)
    ]
    assert len({answer.json()["jobId"] for answer in answers}) == 1
    assert await held(gateway, ada) == (1, 1)


async def test_a_key_has_limits_of_its_own(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    key_id, script = await make(ada, perMinute=1, creditsPerDay=3)
    assert [each for each in await gateway.published() if isinstance(each, LimitChanged)] == [
        LimitChanged(
            kind="key",
            limited=str(key_id),
            account_id=ada.user_id,
            per_minute=1,
            credits_per_day=3,
            tokens_per_day=None,
            throttle_per_minute=None,
            throttled_until=None,
            reason="set with the key",
            actor=ada.user_id,
        )
    ]
    capped = await script.post("/api/jobs", {**BODY, "n": 4})
    assert_problem(capped, 429, "rate_limited", "The day's credits are used up")
    await script.start_job()
    refused = await script.post("/api/jobs", BODY)
    assert (refused.status_code, refused.json()["limit"]) == (429, "key")
    await ada.start_job()


async def test_the_last_use_is_kept_to_the_minute(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    _, script = await make(ada)
    assert (await ada.get(KEYS)).json()["items"][0]["lastUsedAt"] is None
    await script.start_job()
    async with asyncio.timeout(60):
        while (used := (await ada.get(KEYS)).json()["items"][0]["lastUsedAt"]) is None:
            await asyncio.sleep(0.05)
    assert used.endswith(":00Z")


BAD_KEYS: tuple[dict[str, Any], ...] = (
    {},
    {"name": ""},
    {"name": "x" * 101},
    {"name": 5},
    {"name": "x", "scopes": []},
    {"name": "x", "scopes": ["admin"]},
    {"name": "x", "scopes": "read"},
    {"name": "x", "perMinute": 0},
    {"name": "x", "perMinute": 1.5},
    {"name": "x", "creditsPerDay": -1},
    {"name": "x", "tokensPerDay": 2**53},
    {"name": "x", "surprise": 1},
)


async def test_bad_keys_are_not_made_and_there_is_an_end_to_good_ones(
    gateway: RunningGateway,
) -> None:
    ada = await gateway.sign_up()
    for body in BAD_KEYS:
        answer = await ada.post(KEYS, body)
        assert answer.status_code == 400, (body, answer.text)
        assert answer.json()["error"] == answer.json()["message"]
    assert await gateway.value("SELECT count(*) FROM api_key") == 0
    answers = await asyncio.gather(*(ada.post(KEYS, {"name": "x"}) for _ in range(104)))
    assert sorted(answer.status_code for answer in answers) == [201] * 100 + [409] * 4
    assert await gateway.value("SELECT count(*) FROM api_key") == 100
