"""Bodies that are no JSON, or too much of it, on every route that takes one: typed refusals."""

from typing import Any

import httpx2
from pydantic import SecretStr

from services.gateway.api.forwarding import OWNED
from services.gateway.tests.integration.conftest import Start

METHODS = ("post", "put", "patch", "delete")
JSON = "application/json"
PASSED_ON = "/api/flux/webhook"  # as it is, to whoever verifies it


def broken(field: bytes) -> dict[str, bytes]:
    """What nobody may take, around or in a field that the route reads."""
    key = b'{"' + field + b'": '
    return {
        "nothing at all": b"",
        "cut off": key + b'"a fox',
        "deep lists": b"[" * 100_000,
        "deep objects": key * 50_000 + b"1" + b"}" * 50_000,
        "not a number": key + b"NaN}",
        "endless": key + b"-Infinity}",
        "a number without end": key + b"9" * 100_000 + b"}",
        "no text": key + b'"\xff\xfe"}',
        "half a character": key + b'"\\ud800"}',
        "not an object": b'["' + field + b'"]',
        "two at once": b"{} {}",
    }


def with_json(document: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The gateway's own routes that take JSON: method, path with names of nothing, a field."""
    theirs = {route.path for route in OWNED} | {PASSED_ON}
    return [
        (method.upper(), path.replace("{", "").replace("}", ""), _field(document, operation))
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if method in METHODS
        and path not in theirs
        and JSON in operation.get("requestBody", {}).get("content", {})
    ]


def _field(document: dict[str, Any], operation: dict[str, Any]) -> str:
    """The first field of a route's body."""
    schema = operation["requestBody"]["content"][JSON]["schema"]
    (schema, *_) = schema.get("anyOf", [schema])
    name = schema.get("$ref", "").rpartition("/")[2]
    schema = document["components"]["schemas"].get(name, schema)
    return str(next(iter(schema.get("properties", ["prompt"]))))


def _is_typed(answer: httpx2.Response) -> bool:
    """Whether a refusal says what it is: as a problem, or in the words of OpenAI's clients."""
    said = answer.json()
    if isinstance(said["error"], dict):
        return bool(said["error"]["type"] and said["error"]["message"])
    return bool(said["code"] and said["error"] == said["message"])


async def test_what_is_no_json_is_refused_everywhere_and_changes_nothing(
    start_gateway: Start,
) -> None:
    gateway = await start_gateway(
        outside_issuer="https://project.example.com/auth/v1",
        outside_secret=SecretStr("between the issuer and us alone: 32 bytes"),
    )
    admin = await gateway.admin()
    document = (await gateway.client.get("/openapi.json")).json()
    routes = with_json(document)
    assert len(routes) > 20
    wrong = []
    for method, path, field in routes:
        for name, body in broken(field.encode()).items():
            answer = await gateway.client.request(
                method, path, content=body, headers={**admin.headers, "Content-Type": JSON}
            )
            if not 400 <= answer.status_code < 500 or not _is_typed(answer):
                wrong.append(f"{method} {path}: {name}: {answer.status_code} {answer.text[:200]}")
    assert wrong == [], "\n".join(wrong)
    assert await gateway.value("SELECT count(*) FROM job") == 0
    assert await gateway.value("SELECT count(*) FROM users") == 1
    assert await admin.credits() == 20
