"""Bodies that carry pictures: their bytes are read as they are sent, their length is known."""

import base64
import json
from collections.abc import AsyncIterator
from email import message_from_bytes
from typing import Any

import pytest

from libs.events.generation import InputRole
from services.generation.adapters.http.bodies import (
    BATCH_BYTES,
    Body,
    ChangedError,
    FilePart,
    JsonPart,
    base64_of,
    data_url_of,
    form_body,
    json_body,
)
from services.generation.ports import Input


class Held(Input):
    """A picture in memory, that comes in chunks of an odd length."""

    role = InputRole.MASK
    content_type = "image/png"

    def __init__(self, content: bytes, *, says: int | None = None) -> None:
        self._content = content
        self._size_bytes = len(content) if says is None else says
        self.times = 0

    @property
    def size_bytes(self) -> int:
        return self._size_bytes

    async def _chunks(self) -> AsyncIterator[bytes]:
        self.times += 1
        for place in range(0, len(self._content), 1_001):
            yield self._content[place : place + 1_001]

    def stream(self) -> AsyncIterator[bytes]:
        return self._chunks()

    async def address(self) -> str:
        return "https://example.org/a"


async def sent(body: Body) -> bytes:
    content = b"".join([chunk async for chunk in body.chunks()])
    assert len(content) == body.length
    return content


@pytest.mark.parametrize("size", [0, 1, 2, 3, BATCH_BYTES, BATCH_BYTES + 1, 3 * BATCH_BYTES + 5])
async def test_json_carries_pictures_as_base64_and_as_data_urls(size: int) -> None:
    content = bytes(number % 251 for number in range(size))
    value: dict[str, Any] = {
        "prompt": 'a "fox" \ue000 und Füchse',
        "images": [{"data": base64_of(Held(content))}, data_url_of(Held(content))],
        "last": None,
    }
    body = json_body(value)
    told = json.loads(await sent(body))
    assert told["prompt"] == value["prompt"]
    assert base64.b64decode(told["images"][0]["data"]) == content
    head, _, data = told["images"][1].partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(data) == content
    assert (body.content_type, body.whole) == ("application/json", None)


async def test_a_body_can_be_sent_again() -> None:
    held = Held(b"0123456789")
    body = json_body({"a": base64_of(held)})
    assert await sent(body) == await sent(body)
    assert held.times == 2


async def test_a_form_is_what_a_reader_of_forms_expects() -> None:
    content = bytes(range(256)) * 9
    body = form_body(
        [("prompt", "a fox"), ("mask", FilePart(Held(content))), ("asked", JsonPart({"n": 1}))]
    )
    head = f"Content-Type: {body.content_type}\r\n\r\n".encode()
    parts = message_from_bytes(head + await sent(body)).get_payload()
    assert isinstance(parts, list)
    found = {
        each.get_param("name", header="content-disposition"): (  # type: ignore[union-attr]
            each.get_content_type(),  # type: ignore[union-attr]
            each.get_payload(decode=True),  # type: ignore[union-attr]
        )
        for each in parts
    }
    assert found["prompt"] == ("text/plain", b"a fox")
    assert found["mask"] == ("image/png", content)
    assert found["asked"] == ("application/json", b'{"n":1}')


@pytest.mark.parametrize("says", [9, 11])
async def test_an_input_that_has_changed_is_no_body(says: int) -> None:
    body = json_body({"a": base64_of(Held(b"0123456789", says=says))})
    with pytest.raises(ChangedError):
        await sent(body)


def test_what_carries_none_is_whole() -> None:
    assert json_body({"a": 1}).whole == b'{"a":1}'
    with pytest.raises(TypeError):
        json_body({"a": object()})
