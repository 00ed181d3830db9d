"""Routes that other services own: what is passed on, what comes back, and an owner that is down."""

from collections.abc import AsyncIterator
from typing import Any, Final
from uuid import UUID, uuid4

import httpx2
import pytest
from fastapi import FastAPI, Request
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response, StreamingResponse

from libs.events.names import Service
from libs.runtime.auth import InternalTokens
from libs.runtime.clock import SystemClock
from libs.runtime.testing_http import serving
from services.gateway.tests.integration.conftest import (
    INTERNAL_SECRET,
    ORIGIN,
    Person,
    RunningGateway,
    Start,
)

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"

# Named alike in every process that shares the tests.
ITEM_ID = UUID("01990000-0000-7000-8000-0000000000ff")


def owner() -> FastAPI:
    """Answers what it was asked."""
    app = FastAPI()

    @app.api_route("/assets/{key:path}", methods=["GET", "HEAD"])
    async def asset(key: str, request: Request) -> Response:
        if key == "missing":
            return JSONResponse({"error": "no"}, 404, media_type="application/problem+json")
        headers = {
            "etag": '"abc"',
            "cache-control": "public, max-age=31536000, immutable",
            "access-control-expose-headers": "Content-Range",
            "x-internal": "not for the world",
        }
        if request.headers.get("if-none-match") == '"abc"':
            return Response(status_code=304, headers=headers)
        if "range" in request.headers:
            headers["content-range"] = "bytes 0-3/10"
            return Response(b"0123", 206, headers, media_type="image/png")
        return Response(b"0123456789", 200, headers, media_type="image/png")

    @app.get("/api/usage/events")
    async def forbidden() -> Response:
        body = {"type": "urn:daygen:problem:admins_only", "error": "no", "message": "no"}
        return JSONResponse(body, 403, media_type="application/problem+json")

    @app.get("/api/credits/transactions")
    async def breaks_off() -> Response:
        async def body() -> AsyncIterator[bytes]:
            yield b"{"
            raise ConnectionError("half way")

        return StreamingResponse(body(), headers={"content-length": "100"})

    @app.api_route("/{path:path}", methods=["GET", "POST", "PATCH", "DELETE"])
    async def echo(path: str, request: Request) -> Any:
        return {
            "path": path,
            "query": request.url.query,
            "headers": dict(request.headers),
            "method": request.method,
            "body": (await request.body()).decode(),
        }

    return app


@pytest.fixture
async def gateway(start_gateway: Start) -> AsyncIterator[RunningGateway]:
    async with serving(owner()) as url:
        yield await start_gateway(gallery_url=url, billing_url=url, ledger_url=url)


@pytest.fixture
async def ada(gateway: RunningGateway) -> Person:
    return await gateway.sign_up()


@pytest.mark.parametrize(
    ("path", "audience"),
    [
        ("/api/r2files", Service.GALLERY),
        ("/api/usage/mine", Service.BILLING),
        ("/api/credits/balance", Service.LEDGER),
    ],
)
async def test_an_owner_learns_who_asks_and_why(ada: Person, path: str, audience: Service) -> None:
    request_id = uuid4().hex
    answer = await ada.get(
        f"{path}?limit=5&jobId=a%20b",
        **{
            "X-Request-Id": request_id,
            "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01",
            "Cookie": "secret",
            "Origin": ORIGIN,
        },
    )
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    seen = answer.json()
    assert (f"/{seen['path']}", seen["query"]) == (path, "limit=5&jobId=a%20b")
    headers = seen["headers"]
    assert headers["x-request-id"] == answer.headers["x-request-id"] == request_id
    assert headers["traceparent"].startswith(f"00-{TRACE}-")
    assert "cookie" not in headers
    token = headers["authorization"].removeprefix("Bearer ")
    assert token != ada.token
    tokens = InternalTokens(INTERNAL_SECRET, SystemClock())
    principal = tokens.verify(token, audience)
    assert (principal.user_id, principal.account_id) == (ada.user_id, ada.user_id)
    assert principal.role == "USER"


async def test_what_anybody_may_check_is_passed_on_without_a_caller(
    gateway: RunningGateway,
) -> None:
    for path in (
        "/api/log/checkpoint",
        "/api/log/proof/inclusion/3",
        "/api/log/proof/consistency/2",
        "/.well-known/daygen-keys.json",
    ):
        answer = await gateway.client.get(f"{path}?size=5")
        assert answer.status_code == 200
        assert f"/{answer.json()['path']}" == path
        assert "authorization" not in answer.json()["headers"]
    assert (await gateway.client.get(f"/api/jobs/{uuid4()}/receipt")).status_code == 401


PASSED_ON: Final[list[tuple[str, str, bytes]]] = [
    ("PATCH", "/api/r2files/by-url", b'{"isPublic": true}'),
    ("DELETE", "/api/r2files/by-url", b'{"fileUrl": "x"}'),
    ("PATCH", f"/api/r2files/{ITEM_ID}", b"{}"),
    ("DELETE", f"/api/r2files/{ITEM_ID}", b""),
    ("POST", f"/api/r2files/{ITEM_ID}/toggle-like", b""),
]


async def test_methods_and_bodies_are_passed_on(
    gateway: RunningGateway, ada: Person, subtests: pytest.Subtests
) -> None:
    for method, path, body in PASSED_ON:
        with subtests.test(f"{method} {path}"):
            headers = {"Authorization": f"Bearer {ada.token}", "Content-Type": "application/json"}
            answer = await gateway.client.request(method, path, headers=headers, content=body)
            assert answer.status_code == 200, answer.text
            seen = answer.json()
            assert (seen["method"], f"/{seen['path']}", seen["body"]) == (
                method,
                path,
                body.decode(),
            )
            if body:
                assert seen["headers"]["content-type"] == "application/json"
            nobody = await gateway.client.request(method, path, content=body)
            assert nobody.status_code == 401


@pytest.mark.parametrize("path", ["public", f"public/{ITEM_ID}", "public/top-creators"])
async def test_what_is_public_is_shown_to_all_and_the_owner_learns_who_is_known(
    gateway: RunningGateway, ada: Person, path: str
) -> None:
    nobody = await gateway.client.get(f"/api/r2files/{path}")
    expired = await gateway.client.get(
        f"/api/r2files/{path}", headers={"Authorization": "Bearer of.another.day"}
    )
    known = await ada.get(f"/api/r2files/{path}")
    assert nobody.json()["path"] == known.json()["path"] == f"api/r2files/{path}"
    assert "authorization" not in nobody.json()["headers"]
    assert "authorization" not in expired.json()["headers"]
    token = known.json()["headers"]["authorization"].removeprefix("Bearer ")
    tokens = InternalTokens(INTERNAL_SECRET, SystemClock())
    assert tokens.verify(token, Service.GALLERY).user_id == ada.user_id


async def test_the_role_is_that_of_the_database_not_of_the_token(
    gateway: RunningGateway, ada: Person
) -> None:
    await gateway.run("UPDATE users SET role = 'ADMIN' WHERE user_id = $1", ada.user_id)
    headers = (await ada.get("/api/r2files")).json()["headers"]
    token = headers["authorization"].removeprefix("Bearer ")
    tokens = InternalTokens(INTERNAL_SECRET, SystemClock())
    assert tokens.verify(token, Service.GALLERY).role == "ADMIN"


async def test_a_refusal_of_the_owner_comes_through_as_it_is(ada: Person) -> None:
    answer = await ada.get("/api/usage/events")
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:daygen:problem:admins_only"


async def test_assets_need_no_log_in_and_keep_their_headers(gateway: RunningGateway) -> None:
    whole = await gateway.client.get("/assets/attempts/a/1.png")
    assert (whole.status_code, whole.content) == (200, b"0123456789")
    assert whole.headers["content-type"] == "image/png"
    assert whole.headers["content-length"] == "10"
    assert "immutable" in whole.headers["cache-control"]
    assert whole.headers["access-control-allow-origin"] == "*"
    assert "x-internal" not in whole.headers
    head = await gateway.client.head("/assets/attempts/a/1.png")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "10")
    part = await gateway.client.get("/assets/a", headers={"Range": "bytes=0-3"})
    assert (part.status_code, part.content) == (206, b"0123")
    assert part.headers["content-range"] == "bytes 0-3/10"
    held = await gateway.client.get("/assets/a", headers={"If-None-Match": '"abc"'})
    assert (held.status_code, held.content) == (304, b"")


@pytest.mark.parametrize("origin", [ORIGIN, "https://elsewhere.example.com", None])
async def test_assets_may_be_read_from_any_origin_and_their_errors_too(
    start_gateway: Start, gateway: RunningGateway, origin: str | None
) -> None:
    headers = {"Origin": origin} if origin else {}
    found = await gateway.client.get("/assets/a", headers=headers)
    assert found.headers["access-control-expose-headers"] == "Content-Range"
    missing = await gateway.client.get("/assets/missing", headers=headers)
    closed = await start_gateway()
    away = await closed.client.get("/assets/a", headers=headers)
    assert [each.status_code for each in (found, missing, away)] == [200, 404, 503]
    for answer in (found, missing, away):
        assert answer.headers["access-control-allow-origin"] == "*"
    other = await gateway.client.get(
        "/api/jobs/none", headers={"Origin": "https://elsewhere.example.com"}
    )
    assert "access-control-allow-origin" not in other.headers


async def test_an_answer_that_breaks_off_does_not_look_whole(ada: Person) -> None:
    with pytest.raises(httpx2.RemoteProtocolError):
        await ada.get("/api/credits/transactions")


async def test_an_owner_that_is_down_closes_its_own_routes_alone(
    start_gateway: Start,
) -> None:
    async with serving(owner()) as url:
        gateway = await start_gateway(billing_url=url)
        ada = await gateway.sign_up()
        down = await ada.get("/api/r2files", Origin=ORIGIN)
        assert down.status_code == 503
        assert down.json()["code"] == "owner_unavailable"
        assert down.json()["service"] == "gallery"
        assert down.headers["access-control-allow-origin"] == ORIGIN
        assert (await gateway.client.get("/assets/a")).status_code == 503
        assert (await ada.get("/api/usage/mine")).status_code == 200
        await ada.start_job()


async def test_the_documentation_says_of_forwarded_routes_what_their_owners_say(
    start_gateway: Start,
) -> None:
    documented = FastAPI()

    class Session(BaseModel):  # the gateway has another schema of this name
        balance: int

    @documented.get("/api/credits/balance")
    async def balance() -> Session:
        """What is left."""
        return Session(balance=1)

    @documented.get("/internal")
    async def internal() -> None:
        """Not for the world."""

    async with serving(documented) as url:
        gateway = await start_gateway(ledger_url=url)
        document = (await gateway.client.get("/openapi.json")).json()
    operation = document["paths"]["/api/credits/balance"]["get"]
    assert operation["description"] == "What is left."
    body = operation["responses"]["200"]["content"]["application/json"]["schema"]
    schemas = document["components"]["schemas"]
    assert body == {"$ref": "#/components/schemas/LedgerSession"}
    assert set(schemas["LedgerSession"]["properties"]) == {"balance"}
    assert "accessToken" in schemas["Session"]["properties"]
    assert "/internal" not in document["paths"]
    # Of an owner that is down there is a line at least.
    assert document["paths"]["/api/r2files"]["get"]["summary"]
