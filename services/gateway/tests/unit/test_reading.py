"""Small bodies are read at once and long ones as they come: both must mean the same."""

from typing import Any

import pytest
from fastapi import Request
from fastapi.exceptions import RequestValidationError

from services.gateway.api.bodies import GenerationBody
from services.gateway.api.reading import read_body


def request(body: bytes, *, is_declared: bool) -> Request:
    """A request with its length in its head, or without: then it is read as it comes."""
    headers = [(b"content-type", b"application/json")]
    if is_declared:
        headers.append((b"content-length", str(len(body)).encode()))
    chunks = [body[at : at + 5] for at in range(0, len(body), 5)] or [b""]

    async def receive() -> dict[str, Any]:
        chunk = chunks.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(chunks)}

    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


@pytest.mark.parametrize("is_declared", [True, False], ids=["at once", "as it comes"])
async def test_of_a_key_that_stands_twice_the_last_one_counts(*, is_declared: bool) -> None:
    """Two readers that took different ones could be played off against each other."""
    twice = b'{"prompt": "a fox", "model": "x", "model": "y", "prompt": "a heron"}'
    body = await read_body(request(twice, is_declared=is_declared), GenerationBody)
    assert (body.prompt, body.model) == ("a heron", "y")


@pytest.mark.parametrize("is_declared", [True, False], ids=["at once", "as it comes"])
@pytest.mark.parametrize(
    "body",
    [b"", b"{", b'{"prompt": NaN}', b'{"prompt": -Infinity}', b'{"prompt": "\xff"}', b"[1]",
     b'{"a":' * 50_000, b"{} {}", b'{"prompt": 7}'],
)  # fmt: skip
async def test_what_is_no_request_is_refused_by_both(body: bytes, *, is_declared: bool) -> None:
    with pytest.raises(RequestValidationError):
        await read_body(request(body, is_declared=is_declared), GenerationBody)
