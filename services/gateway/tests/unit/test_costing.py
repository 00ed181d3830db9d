"""The short way to a route's arguments says what the framework's own way says."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

import httpx2
import pytest
from fastapi import APIRouter, Depends, FastAPI, Header, Request, Response
from fastapi.routing import APIRoute

from libs.runtime.errors import Unauthorized
from libs.runtime.http import JsonResponse
from libs.runtime.http.problems import install_problem_handlers
from services.gateway.api.bodies import JobRequest
from services.gateway.api.costing import CostingRoute

JSON: Final = "application/json"
GOOD: Final = b'{"prompt": "a fox", "providerOptions": {"seed": 7}, "size": "1x1", "n": 2}'


async def caller(request: Request) -> str:
    if "authorization" not in request.headers:
        raise Unauthorized("Unauthorized: send a bearer token.")
    return request.headers["authorization"]


def router(prefix: str, route_class: type[APIRoute]) -> APIRouter:
    made = APIRouter(prefix=prefix, route_class=route_class)

    @made.post("/{provider}")
    async def create(
        provider: str,
        who: Annotated[str, Depends(caller)],
        body: JobRequest,
        key: Annotated[str | None, Header(alias="Idempotency-Key")] = None,
        prefer: Annotated[str | None, Header()] = None,
    ) -> Response:
        said: Any = [provider, who, body.model_dump(mode="json"), body.model_extra, key, prefer]
        return JsonResponse(said)

    return made


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    app = FastAPI()
    install_problem_handlers(app)
    app.include_router(router("/usual", APIRoute))
    app.include_router(router("/short", CostingRoute))
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as opened:
        yield opened


async def both(
    client: httpx2.AsyncClient, content: bytes, headers: dict[str, str]
) -> list[tuple[int, Any]]:
    answers = []
    for way in ("usual", "short"):
        answer = await client.post(f"/{way}/local", content=content, headers=headers)
        body = answer.json()
        if isinstance(body, dict):
            body.pop("instance")
        answers.append((answer.status_code, body))
    return answers


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (GOOD, JSON),
        (GOOD, "application/json; charset=utf-8"),
        (GOOD, "application/problem+json"),
        (GOOD, "text/plain"),
        (GOOD, ""),
        (b"", JSON),
        (b"{", JSON),
        (b"[]", JSON),
        (b"null", JSON),
        (b'"text"', JSON),
        (b"{}", JSON),
        (b'{"prompt": 5}', JSON),
        (b'{"prompt": null}', JSON),
        (b'{"prompt": "a", "providerOptions": []}', JSON),
        (b'{"prompt": "a", "priceBookVersion": 1.5, "model": 3}', JSON),
        (b'{"prompt": "a", "priceBookVersion": "2"}', JSON),
        (b'{"prompt": "a", "prompt": "b"}', JSON),
    ],
)
async def test_a_body_is_taken_or_refused_alike(
    client: httpx2.AsyncClient, content: bytes, content_type: str
) -> None:
    headers = {"Authorization": "ada", "Idempotency-Key": "one", "Content-Type": content_type}
    usual, short = await both(client, content, headers)
    assert short == usual


async def test_a_stranger_is_told_so_before_anything_else(client: httpx2.AsyncClient) -> None:
    for content in (GOOD, b"{", b""):
        answer = await client.post("/short/local", content=content, headers={"Content-Type": JSON})
        assert answer.status_code == 401


async def test_both_ways_are_documented_alike(client: httpx2.AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]
    usual, short = paths["/usual/{provider}"]["post"], paths["/short/{provider}"]["post"]
    assert usual.pop("operationId") != short.pop("operationId")
    assert short == usual
