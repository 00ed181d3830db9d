"""Tokens, and the dependencies that ask for them."""

import json
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Annotated, Any
from uuid import UUID

import httpx2
import jwt
import pytest
import structlog
from fastapi import Depends, FastAPI
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from structlog.testing import LogCapture

from libs.events.names import Service
from libs.runtime import auth
from libs.runtime.auth import (
    InternalTokens,
    Principal,
    UserTokens,
    require_admin,
    require_principal,
)
from libs.runtime.clock import SystemClock
from libs.runtime.errors import Unauthorized
from libs.runtime.http import JsonResponse, create_http_app
from libs.runtime.ids import SystemIds

SECRET = SecretStr("s" * 32)
OTHER_SECRET = SecretStr("o" * 32)
USER, SESSION, WORKSPACE = UUID(int=1), UUID(int=2), UUID(int=3)
START = datetime(2026, 1, 2, tzinfo=UTC)


class ManualClock(SystemClock):
    def __init__(self) -> None:
        self.time = START

    def now(self) -> datetime:
        return self.time


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def users(clock: ManualClock) -> UserTokens:
    return UserTokens(SECRET, clock, lifetime=timedelta(hours=1))


def forged(changes: dict[str, Any], *, key: str = "s" * 32, algorithm: str = "HS256") -> str:
    claims = {
        "sub": str(USER),
        "role": "USER",
        "sid": str(SESSION),
        "epoch": 0,
        "iss": "/daygen/gateway",
        "aud": "daygen-client",
        "iat": int(START.timestamp()),
        "exp": int(START.timestamp()) + 3600,
    }
    merged = {name: value for name, value in (claims | changes).items() if value is not None}
    return jwt.encode(merged, key, algorithm=algorithm)


def unsigned() -> str:
    def part(value: dict[str, Any]) -> str:
        return urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    claims = jwt.decode(forged({}), options={"verify_signature": False})
    return f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(claims)}."


def test_a_user_token_tells_who_logged_in_and_until_when(users: UserTokens) -> None:
    assert users.verify(users.issue(USER, "ADMIN", SESSION)) == Principal(
        user_id=USER,
        role="ADMIN",
        account_id=USER,
        session_id=SESSION,
        session_epoch=0,
        expires_at=START + timedelta(hours=1),
    )


@pytest.mark.parametrize(
    "token",
    [
        "",
        "nonsense",
        "a.b.c",
        "é.é.é",
        "x" * 10_000,
        unsigned(),
        forged({}, key="o" * 32),
        forged({}, key="s" * 64, algorithm="HS512"),
        forged({"aud": "ledger"}),
        forged({"aud": None}),
        forged({"iss": "/elsewhere"}),
        forged({"sub": None}),
        forged({"sub": "somebody"}),
        forged({"sid": None}),
        forged({"epoch": None}),
        forged({"epoch": True}),
        forged({"epoch": "0"}),
        forged({"role": "OWNER"}),
        forged({"role": None}),
        forged({"exp": None}),
        forged({"exp": 10**30}),
        forged({"iat": int(START.timestamp()) + 60}),
    ],
)
def test_a_token_that_is_not_ours_is_refused(users: UserTokens, token: str) -> None:
    with pytest.raises(Unauthorized):
        users.verify(token)


def test_a_changed_token_is_refused(users: UserTokens) -> None:
    head, claims, signature = users.issue(USER, "USER", SESSION).split(".")
    promoted = jwt.encode({"role": "ADMIN"}, "s" * 32).split(".")[1]
    for token in (f"{head}.{promoted}.{signature}", f"{head}.{claims}.{signature[:-2]}xx"):
        with pytest.raises(Unauthorized):
            users.verify(token)


def test_a_token_dies_at_its_end_give_or_take_the_clocks(
    users: UserTokens, clock: ManualClock
) -> None:
    token = users.issue(USER, "USER", SESSION)
    clock.time = START + timedelta(hours=1, seconds=4)
    users.verify(token)
    clock.time = START + timedelta(hours=1, seconds=5)
    with pytest.raises(Unauthorized, match="Session expired"):
        users.verify(token)


def test_a_verified_token_is_remembered_for_a_minute(
    users: UserTokens, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []
    decode = jwt.decode

    def counted(token: str, *arguments: Any, **options: Any) -> dict[str, Any]:
        decoded.append(token)
        return decode(token, *arguments, **options)

    monkeypatch.setattr(jwt, "decode", counted)
    token = users.issue(USER, "USER", SESSION)
    for seconds in (0, 1, 59):
        clock.time = START + timedelta(seconds=seconds)
        users.verify(token)
    assert len(decoded) == 1
    clock.time = START + timedelta(seconds=60)
    users.verify(token)
    assert len(decoded) == 2


def test_a_remembered_token_does_not_outlive_its_end(users: UserTokens, clock: ManualClock) -> None:
    token = users.issue(USER, "USER", SESSION)
    clock.time = START + timedelta(minutes=59, seconds=50)
    users.verify(token)
    clock.time = START + timedelta(hours=1, seconds=6)
    with pytest.raises(Unauthorized):
        users.verify(token)


def test_the_memory_of_tokens_is_bounded(
    users: UserTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "_CACHED_TOKENS_MAX", 3)
    tokens = [users.issue(USER, "USER", UUID(int=number)) for number in range(9)]
    for token in tokens:
        users.verify(token)
    assert list(users._verified) == tokens[-3:]


@pytest.mark.parametrize("make", [UserTokens, InternalTokens])
def test_a_short_secret_is_refused_with_a_sentence(make: Any, clock: ManualClock) -> None:
    with pytest.raises(ValueError, match=r"has 31 bytes: set one of at least 32 random bytes\."):
        make(SecretStr("s" * 31), clock)


def test_an_internal_token_carries_the_caller_to_one_service(clock: ManualClock) -> None:
    tokens = InternalTokens(SECRET, clock)
    caller = Principal(
        user_id=USER,
        role="USER",
        account_id=WORKSPACE,
        workspace_id=WORKSPACE,
        workspace_role="OWNER",
    )
    token = tokens.issue(caller, Service.LEDGER)
    assert tokens.verify(token, Service.LEDGER) == caller
    assert tokens.verifier(Service.LEDGER)(token) == caller
    with pytest.raises(Unauthorized):
        tokens.verify(token, Service.GALLERY)
    with pytest.raises(Unauthorized):
        InternalTokens(OTHER_SECRET, clock).verify(token, Service.LEDGER)
    clock.time = START + timedelta(seconds=66)
    with pytest.raises(Unauthorized):
        tokens.verify(token, Service.LEDGER)


def test_a_users_token_opens_no_service_even_under_the_same_secret(
    users: UserTokens, clock: ManualClock
) -> None:
    internal = InternalTokens(SECRET, clock)
    token = users.issue(USER, "USER", SESSION)
    with pytest.raises(Unauthorized):
        internal.verify(token, Service.LEDGER)
    with pytest.raises(Unauthorized):
        users.verify(internal.issue(users.verify(token), Service.LEDGER))


@pytest.fixture
def app(users: UserTokens) -> FastAPI:
    clock, random = SystemClock(), Random(1)
    app = create_http_app(
        Service.GATEWAY,
        clock=clock,
        ids=SystemIds(clock, random),
        random=random,
        registry=CollectorRegistry(),
        checks={},
    )
    principal_of = require_principal(users.verify)

    @app.get("/me")
    async def me(principal: Annotated[Principal, Depends(principal_of)]) -> JsonResponse:
        return JsonResponse({"id": principal.user_id})

    @app.get("/admin", dependencies=[Depends(require_admin(principal_of))])
    async def admin() -> JsonResponse:
        return JsonResponse({"ok": True})

    return app


@pytest.fixture
def client(app: FastAPI) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test")


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Basic dTpw", "Bearer nonsense", "nonsense"]
)
async def test_without_a_good_bearer_the_answer_is_401(
    client: httpx2.AsyncClient, header: str | None
) -> None:
    headers = {} if header is None else {"Authorization": header}
    answer = await client.get("/me", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["code"] == "unauthorized"


async def test_a_bearer_opens_the_door_and_names_the_user_in_the_log(
    client: httpx2.AsyncClient, users: UserTokens
) -> None:
    capture = LogCapture()
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, capture])
    try:
        token = users.issue(USER, "USER", SESSION)
        answer = await client.get("/me", headers={"Authorization": f"bearer {token}"})
        assert (await client.get("/me")).status_code == 401
    finally:
        structlog.reset_defaults()
    assert answer.json() == {"id": str(USER)}
    first, second = capture.entries
    assert (first["user_id"], first["status"]) == (str(USER), 200)
    assert "user_id" not in second
    assert token not in str(capture.entries)


@pytest.mark.parametrize(("role", "status"), [("USER", 403), ("ADMIN", 200)])
async def test_only_an_administrator_passes_the_administrators_door(
    client: httpx2.AsyncClient, users: UserTokens, role: Any, status: int
) -> None:
    token = users.issue(USER, role, SESSION)
    answer = await client.get("/admin", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == status


def test_the_documentation_knows_the_bearer(app: FastAPI) -> None:
    document = app.openapi()
    assert document["paths"]["/me"]["get"]["security"] == [{"bearer": []}]
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
