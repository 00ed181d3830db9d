"""The HTTP edge: problems, CORS, request ids, limits, health and logs, without a socket."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from random import Random
from typing import Any
from uuid import UUID

import httpx2
import pytest
import structlog
from fastapi import APIRouter, FastAPI
from prometheus_client import CollectorRegistry
from pydantic import BaseModel, Field, field_validator
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from structlog.testing import capture_logs

from libs.events.names import Service
from libs.runtime.clock import SystemClock
from libs.runtime.errors import (
    Kind,
    NotFound,
    PaymentRequired,
    TooManyRequests,
    Unauthorized,
    Unavailable,
)
from libs.runtime.http import STATUS_OF, HttpOptions, JsonResponse, ReadyCheck, create_http_app
from libs.runtime.http import health as health_module
from libs.runtime.ids import SystemIds
from libs.runtime.tracing import Traceparent, current_traceparent

ORIGIN = "http://localhost:5173"
TRACEPARENT = f"00-{'a' * 32}-{'b' * 16}-01"


class InsufficientCredits(PaymentRequired):
    code = "insufficient_credits"


class Draw(BaseModel):
    prompt: str = Field(min_length=1)
    password: str = Field(default="longenough", min_length=8)
    size: int = 1

    @field_validator("prompt")
    @classmethod
    def _not_blank(cls, prompt: str) -> str:
        if not prompt.strip():
            raise ValueError("Prompt is required")
        return prompt


FAILURES: dict[str, Exception] = {
    "credits": InsufficientCredits("Buy more credits.", details={"available": 3}),
    "clash": NotFound("Gone.", details={"status": 1, "code": "x", "error": ["x"], "id": 7}),
    "limit": TooManyRequests("Wait a little.", retry_after_seconds=1.2),
    "limit_at_once": TooManyRequests("Wait a little.", retry_after_seconds=0.0),
    "who": Unauthorized("Log in again."),
    "bug": RuntimeError("the password is opensesame"),
}


def routes() -> APIRouter:
    router = APIRouter(prefix="/api")

    @router.post("/draw/{number}")
    async def draw(number: int, body: Draw) -> dict[str, Any]:
        return {"number": number, "prompt": body.prompt}

    @router.get("/fail/{name}")
    async def fail(name: str) -> None:
        raise FAILURES[name]

    @router.get("/context")
    async def context(request: Request) -> Response:
        return JsonResponse(
            {"trace": current_traceparent(), "id": request.state.request_id, "uuid": UUID(int=1)}
        )

    @router.post("/upload")
    async def upload(request: Request) -> Response:
        return JsonResponse({"size": sum([len(chunk) async for chunk in request.stream()])})

    @router.get("/broken-stream")
    async def broken_stream() -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"half"
            raise RuntimeError("the rest is lost")

        return StreamingResponse(chunks())

    return router


def application(
    checks: Mapping[str, ReadyCheck] | None = None, options: HttpOptions | None = None
) -> FastAPI:
    clock, random = SystemClock(), Random(1)
    app = create_http_app(
        Service.GATEWAY,
        clock=clock,
        ids=SystemIds(clock, random),
        random=random,
        registry=CollectorRegistry(),
        checks=checks or {},
        options=options or HttpOptions(cors_origins=(ORIGIN,), body_bytes_max=100),
    )
    app.include_router(routes())
    return app


def client_of(app: FastAPI) -> httpx2.AsyncClient:
    # A bug that gets past the application is a failed test, not an answer.
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test")


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Without it structlog's own console draws every traceback, which takes seconds."""
    with capture_logs():
        yield


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(application()) as client:
        yield client


async def test_a_refusal_is_a_problem_whose_strings_the_web_client_reads(
    client: httpx2.AsyncClient,
) -> None:
    answer = await client.get("/api/fail/credits?ticket=opensesame")
    assert answer.status_code == 402
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "available": 3,
        "type": "urn:daygen:problem:insufficient_credits",
        "title": "Payment Required",
        "status": 402,
        "detail": "Buy more credits.",
        "instance": "/api/fail/credits",
        "code": "insufficient_credits",
        "error": "Buy more credits.",
        "message": "Buy more credits.",
        "requestId": answer.headers["x-request-id"],
    }


async def test_details_add_to_a_problem_and_never_replace_its_members(
    client: httpx2.AsyncClient,
) -> None:
    body = (await client.get("/api/fail/clash")).json()
    assert (body["status"], body["code"], body["error"], body["id"]) == (
        404,
        "not_found",
        "Gone.",
        7,
    )


def test_every_kind_of_refusal_has_a_status() -> None:
    assert set(STATUS_OF) == set(Kind)
    assert {kind: STATUS_OF[kind].value for kind in Kind} == {
        Kind.BAD_REQUEST: 400,
        Kind.UNAUTHORIZED: 401,
        Kind.PAYMENT_REQUIRED: 402,
        Kind.FORBIDDEN: 403,
        Kind.NOT_FOUND: 404,
        Kind.CONFLICT: 409,
        Kind.PAYLOAD_TOO_LARGE: 413,
        Kind.UNPROCESSABLE: 422,
        Kind.TOO_MANY_REQUESTS: 429,
        Kind.UNSUPPORTED: 501,
        Kind.BAD_GATEWAY: 502,
        Kind.UNAVAILABLE: 503,
        Kind.GATEWAY_TIMEOUT: 504,
    }


@pytest.mark.parametrize(
    ("name", "status", "header", "value"),
    [
        ("limit", 429, "Retry-After", "2"),
        ("limit_at_once", 429, "Retry-After", "1"),
        ("who", 401, "WWW-Authenticate", "Bearer"),
    ],
)
async def test_a_refusal_carries_the_header_its_status_asks_for(
    client: httpx2.AsyncClient, name: str, status: int, header: str, value: str
) -> None:
    answer = await client.get(f"/api/fail/{name}")
    assert (answer.status_code, answer.headers[header]) == (status, value)


async def test_a_bug_gives_away_the_request_id_and_nothing_else(client: httpx2.AsyncClient) -> None:
    with capture_logs() as lines:
        answer = await client.get("/api/fail/bug", headers={"X-Request-Id": "request-0001"})
    assert answer.status_code == 500
    assert answer.json()["code"] == "internal"
    assert "request-0001" in answer.json()["error"]
    assert "opensesame" not in answer.text
    assert [line["event"] for line in lines] == ["request_failed", "request"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/nowhere", 404, "not_found"),
        ("DELETE", "/api/context", 405, "method_not_allowed"),
    ],
)
async def test_a_wrong_address_or_method_is_a_problem_too(
    client: httpx2.AsyncClient, method: str, path: str, status: int, code: str
) -> None:
    answer = await client.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["error"] == answer.json()["message"]
    assert answer.json()["error"].endswith(".")


@pytest.mark.parametrize(
    ("path", "content", "sentence"),
    [
        ("/api/draw/1", b"{}", "prompt is required."),
        ("/api/draw/1", b"{", "The body is not valid JSON."),
        ("/api/draw/1", b"", "A JSON body is required."),
        ("/api/draw/1", b'{"prompt": "  "}', "Prompt is required"),
        ("/api/draw/1", b'{"prompt": 5}', "prompt should be a valid string."),
        ("/api/draw/1", b'{"prompt": ""}', "prompt string should have at least 1 character."),
        ("/api/draw/x", b'{"prompt": "a"}', "number must be a whole number."),
        ("/api/draw/1", b"[]", "The body must be a JSON object, sent as application/json."),
    ],
)
async def test_what_does_not_validate_is_a_400_with_one_sentence(
    client: httpx2.AsyncClient, path: str, content: bytes, sentence: str
) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await client.post(path, content=content, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid_request"
    assert answer.json()["error"] == answer.json()["message"] == sentence


async def test_json_that_ends_too_early_names_no_field(client: httpx2.AsyncClient) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await client.post("/api/draw/1", content=b'{"prompt": ', headers=headers)
    fields = [{"field": "", "message": "The body is not valid JSON."}]
    assert answer.json()["fields"] == fields


async def test_a_validation_error_never_repeats_what_was_sent(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/api/draw/1", json={"prompt": "a", "password": "opense"})
    assert answer.json()["fields"][0]["field"] == "password"
    assert "opense" not in answer.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/context", 200),
        ("GET", "/api/fail/credits", 402),
        ("GET", "/api/fail/bug", 500),
        ("GET", "/api/nowhere", 404),
        ("DELETE", "/api/context", 405),
        ("POST", "/api/draw/x", 400),
        ("GET", "/health/ready", 503),
    ],
)
async def test_cors_headers_are_on_every_answer(method: str, path: str, status: int) -> None:
    async def down() -> None:
        raise Unavailable("The database is down.")

    async with client_of(application({"database": down})) as client:
        answer = await client.request(method, path, headers={"Origin": ORIGIN})
    assert answer.status_code == status
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    exposed = answer.headers["access-control-expose-headers"].split(", ")
    assert {"Location", "Retry-After", "X-Request-Id", "RateLimit"} <= set(exposed)


async def test_cors_headers_are_on_a_refused_body_too(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/api/upload", content=b"x" * 101, headers={"Origin": ORIGIN})
    assert answer.status_code == 413
    assert answer.headers["access-control-allow-origin"] == ORIGIN


async def test_a_foreign_origin_gets_no_permission(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/api/context", headers={"Origin": "http://elsewhere"})
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_a_preflight_allows_what_the_web_client_sends(
    client: httpx2.AsyncClient, method: str
) -> None:
    asked = "authorization,content-type,x-requested-with,idempotency-key,prefer,last-event-id"
    headers = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": asked,
    }
    answer = await client.options("/api/context", headers=headers)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert method in answer.headers["access-control-allow-methods"]


async def test_a_sane_request_id_is_kept_and_another_replaced(client: httpx2.AsyncClient) -> None:
    kept = await client.get("/api/context", headers={"X-Request-Id": "abc-123.DEF:4_5"})
    assert kept.headers["x-request-id"] == kept.json()["id"] == "abc-123.DEF:4_5"
    for insane in ("short", "x" * 129, 'a"b{}\\c<d>', "line%0abreak break"):
        answer = await client.get("/api/context", headers={"X-Request-Id": insane})
        assert UUID(answer.headers["x-request-id"]).version == 7


async def test_a_request_continues_the_callers_trace_or_begins_one(
    client: httpx2.AsyncClient,
) -> None:
    continued = (await client.get("/api/context", headers={"traceparent": TRACEPARENT})).json()
    assert continued["trace"].split("-")[1] == "a" * 32
    assert continued["trace"] != TRACEPARENT
    begun = (await client.get("/api/context")).json()
    assert Traceparent.parse(begun["trace"]) is not None


async def test_msgspec_encodes_what_json_does_not_know(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/api/context")).json()["uuid"] == str(UUID(int=1))


async def test_each_request_is_one_line_without_its_query(client: httpx2.AsyncClient) -> None:
    with capture_logs() as lines:
        await client.get("/api/fail/credits?ticket=opensesame")
        await client.get("/api/opensesame")
    assert "opensesame" not in str(lines)
    first, second = lines
    latency_ms = first.pop("latency_ms")
    assert isinstance(latency_ms, float)
    assert first == {
        "event": "request",
        "log_level": "info",
        "route": "/api/fail/{name}",
        "method": "GET",
        "status": 402,
        "error_code": "insufficient_credits",
    }
    assert (second["route"], second["status"]) == ("(none)", 404)


async def test_a_body_is_counted_while_it_streams(client: httpx2.AsyncClient) -> None:
    async def chunks(total: int) -> AsyncIterator[bytes]:
        for _ in range(total // 10):
            yield b"0123456789"

    fits = await client.post("/api/upload", content=chunks(100))
    assert fits.json() == {"size": 100}
    refused = await client.post("/api/upload", content=chunks(110))
    assert (refused.status_code, refused.json()["code"]) == (413, "payload_too_large")


async def test_a_streamed_json_body_over_the_limit_is_a_413(client: httpx2.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b'{"prompt": "'
        yield b"x" * 100
        yield b'"}'

    headers = {"Content-Type": "application/json"}
    answer = await client.post("/api/draw/1", content=chunks(), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")


async def test_a_declared_length_over_the_limit_is_refused_before_it_is_read() -> None:
    reads = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal reads
        reads += 1
        yield b"x"

    async with client_of(application()) as client:
        headers = {"Content-Length": "101"}
        answer = await client.post("/api/upload", content=body(), headers=headers)
    assert (answer.status_code, reads) == (413, 0)


async def test_an_address_can_have_a_limit_of_its_own() -> None:
    options = HttpOptions(body_bytes_max=10, body_bytes_max_under={"/api/upload": 1000})
    async with client_of(application(options=options)) as client:
        assert (await client.post("/api/upload", content=b"x" * 999)).status_code == 200
        assert (await client.post("/api/draw/1", json={"prompt": "long"})).status_code == 413


async def test_a_stream_that_breaks_halfway_is_cut_and_not_finished() -> None:
    async with client_of(application()) as client:
        with capture_logs() as lines, pytest.raises(RuntimeError, match="the rest is lost"):
            await client.get("/api/broken-stream")
    assert [line["event"] for line in lines] == ["request_failed", "request"]
    assert lines[1]["error_code"] == "internal"


async def test_a_stream_passes_through_chunk_by_chunk() -> None:
    """The first chunk arrives while the route still waits: nothing on the way collects them."""
    app = application()
    first_seen, sent = asyncio.Event(), []

    @app.get("/slow")
    async def slow() -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"first"
            await first_seen.wait()
            yield b"second"

        return StreamingResponse(chunks())

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Any) -> None:
        if message.get("body"):
            sent.append(message["body"])
            first_seen.set()

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/slow",
        "raw_path": b"/slow",
        "query_string": b"",
        "headers": [],
        "http_version": "1.1",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
    }
    async with asyncio.timeout(30):
        await app(scope, receive, send)
    assert sent == [b"first", b"second"]


async def test_live_does_not_ask_the_parts() -> None:
    async def down() -> None:
        raise Unavailable("The database is down.")

    async with client_of(application({"database": down})) as client:
        assert (await client.get("/health/live")).json() == {"status": "live"}


async def test_live_fails_with_the_reason_that_only_a_new_process_can_help() -> None:
    reasons: list[str | None] = ["A consumer is stuck: start this process again.", None]
    clock, random = SystemClock(), Random(1)
    app = create_http_app(
        Service.LEDGER,
        clock=clock,
        ids=SystemIds(clock, random),
        random=random,
        registry=CollectorRegistry(),
        checks={},
        why_not_live=lambda: reasons.pop(0),
    )
    async with client_of(app) as client:
        answer = await client.get("/health/live")
        assert answer.status_code == 503
        assert answer.json()["detail"] == "A consumer is stuck: start this process again."
        assert (await client.get("/health/live")).status_code == 200


async def test_ready_names_what_is_not_and_why_without_internals(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health_module, "CHECK_TIMEOUT_SECONDS", 0.01)

    async def works() -> None: ...

    async def down() -> None:
        raise Unavailable("The bus is down.")

    async def leaks() -> None:
        raise OSError("postgresql://a:opensesame@db")

    async def hangs() -> None:
        await asyncio.sleep(60)

    checks = {"works": works, "bus": down, "database": leaks, "store": hangs}
    async with client_of(application(checks)) as client:
        answer = await client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["notReady"] == {
        "bus": "The bus is down.",
        "database": "OSError",
        "store": "no answer in time",
    }
    async with client_of(application({"works": works})) as client:
        assert (await client.get("/health/ready")).json()["status"] == "ready"


async def test_metrics_count_by_route_template(client: httpx2.AsyncClient) -> None:
    await client.get("/api/fail/credits")
    await client.get("/api/fail/who")
    text = (await client.get("/metrics")).text
    counted = 'daygen_http_requests_total{method="GET",route="/api/fail/{name}",status="402"} 1.0'
    assert counted in text
    assert "daygen_http_request_seconds_bucket" in text


async def test_probes_leave_no_line_unless_they_fail(client: httpx2.AsyncClient) -> None:
    structlog.reset_defaults()  # a service that ran in this process shows nothing below `info`
    with capture_logs() as lines:
        await client.get("/health/live")
        await client.get("/metrics")
    assert [line["log_level"] for line in lines] == ["debug", "debug"]


async def test_the_documentation_shows_problems_and_no_422(client: httpx2.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    answers = document["paths"]["/api/draw/{number}"]["post"]["responses"]
    assert set(answers) == {"200", "400", "default"}
    assert "HTTPValidationError" not in str(document)
    assert "/health/live" not in document["paths"]


async def test_the_documentation_needs_no_network(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/")).headers["location"] == "docs"
    page = (await client.get("/docs")).text
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert {"docs/swagger-ui-bundle.js", "docs/swagger-ui.css"} <= set(addresses)
    for address in addresses:
        found = await client.get(f"/{address}")  # relative to the page: none is on another host
        assert (found.status_code, bool(found.content)) == (200, True)
    assert "openapi.json" in page
    assert (await client.get("/docs/none.js")).status_code == 404
