"""What comes home: whole pictures of a sane size, and nothing else."""

import base64
import json
import struct
from collections.abc import AsyncIterator
from random import Random
from uuid import uuid4

import pytest

from libs.events.generation import FailureCode
from libs.runtime.carriers import Carrier, JsonReader
from services.generation.adapters.http.wire import picture_in
from services.generation.handlers import results
from services.generation.handlers.results import store_picture
from services.generation.ports import ProviderError
from services.generation.tests.integration.stage import PNG, Stage

END = b"\x00\x00\x00\x00IENDcrc4"


def png(width: int, height: int, filling: bytes = b"") -> bytes:
    head = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", width, height) + b"12345crc4"
    pixels = struct.pack(">I", len(filling)) + b"IDAT" + filling + b"crc4" if filling else b""
    return head + pixels + END


async def in_chunks(content: bytes, size: int = 65_536) -> AsyncIterator[bytes]:
    for place in range(0, len(content), size):
        yield content[place : place + size]


async def refused(stage: Stage, content: bytes) -> str:
    """Why it is refused, for operators; nothing of it is stored."""
    job_id = uuid4()
    with pytest.raises(ProviderError) as caught:
        await store_picture(stage.objects, job_id, uuid4(), 1, in_chunks(content))
    assert caught.value.failure.code is FailureCode.BAD_OUTPUT
    assert await stage.keys(job_id) == []
    return caught.value.detail


@pytest.mark.parametrize(("width", "height"), [(60_000, 60_000), (16_385, 1), (20_000, 16_000)])
async def test_a_picture_that_unfolds_too_far_is_refused(
    stage: Stage, width: int, height: int
) -> None:
    assert "too large" in await refused(stage, png(width, height))


async def test_a_large_file_is_refused_before_it_is_all_there(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "PICTURE_BYTES_MAX", 200_000)
    assert "too large" in await refused(stage, png(64, 64, bytes(300_000)))


@pytest.mark.parametrize("missing", [1, 5, 12, 40])
async def test_a_picture_that_ends_early_is_refused(stage: Stage, missing: int) -> None:
    assert "cut off" in await refused(stage, png(64, 64, bytes(100))[:-missing])


@pytest.mark.parametrize("content", [b"", b"<html>" * 100, b"%PDF-1.7" + bytes(100), bytes(500)])
async def test_what_is_no_picture_is_refused(stage: Stage, content: bytes) -> None:
    assert await refused(stage, content)


async def test_a_large_picture_from_json_is_stored_as_it_was(stage: Stage) -> None:
    content = png(2_000, 2_000, Random(1).randbytes(20_000_000))
    reader = JsonReader()
    async for chunk in in_chunks(json.dumps([base64.b64encode(content).decode()]).encode()):
        reader.feed(chunk)
    (carrier,) = reader.close()
    assert isinstance(carrier, Carrier)
    job_id = uuid4()
    stored = await store_picture(stage.objects, job_id, uuid4(), 1, picture_in(carrier))
    assert (stored.size_bytes, stored.width, stored.content_type) == (
        len(content),
        2_000,
        "image/png",
    )
    async with stage.objects.open(stored.key) as body:
        assert await body.read() == content


async def test_what_follows_the_picture_is_left_behind(stage: Stage) -> None:
    stored = await store_picture(
        stage.objects, uuid4(), uuid4(), 1, in_chunks(PNG + b"<script>" * 100, 7)
    )
    async with stage.objects.open(stored.key) as body:
        assert await body.read() == PNG
