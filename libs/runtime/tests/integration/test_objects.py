"""The S3 client against a real server: what a store must do, and that outages have a type."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from msgspec.structs import replace
from pydantic import SecretStr

from infra.local.cluster import LocalCluster
from libs.runtime.objects import (
    ByteRange,
    ObjectNotFound,
    ObjectStore,
    ObjectTooLarge,
    StorageUnavailable,
)
from libs.runtime.objects_s3 import PART_BYTES, S3ObjectStore, S3Options
from libs.runtime.s3_put import Putter
from libs.runtime.tests.support import in_chunks

LIVE = "DAYGEN_LIVE_S3_"
PNG = "image/png"
IMMUTABLE = "public, max-age=31536000, immutable"
TEN = b"0123456789"


async def breaking() -> AsyncIterator[bytes]:
    yield b"x" * 1000
    raise ConnectionResetError("the provider hung up")


@pytest.fixture
def options(cluster: LocalCluster, pytestconfig: pytest.Config) -> S3Options:
    """The embedded store; with `--live` the one that the environment names, as `docs/assets.md`."""
    if pytestconfig.getoption("--live") and f"{LIVE}ENDPOINT" in os.environ:
        names = [
            each for each in S3Options.__struct_fields__ if f"{LIVE}{each.upper()}" in os.environ
        ]
        given: dict[str, Any] = {name: os.environ[f"{LIVE}{name.upper()}"] for name in names}
        secret = {name: SecretStr(given[name]) for name in ("access_key", "secret_key")}
        return S3Options(**(given | secret))
    access = cluster.s3
    return S3Options(
        endpoint=access.endpoint,
        region=access.region,
        bucket=access.bucket,
        access_key=SecretStr(access.access_key),
        secret_key=SecretStr(access.secret_key),
    )


@pytest.fixture
async def store(options: S3Options) -> AsyncIterator[ObjectStore]:
    async with S3ObjectStore.connect(options) as store:
        yield store


def putter(options: S3Options, session: aiohttp.ClientSession) -> Putter:
    return Putter(
        session,
        endpoint=options.endpoint,
        region=options.region,
        bucket=options.bucket,
        access_key=options.access_key.get_secret_value(),
        secret_key=options.secret_key,
    )


@pytest.fixture
def prefix() -> str:
    return f"contract/{uuid4().hex}/"


@pytest.mark.parametrize("size", [0, 1, 70_000])
async def test_what_is_put_can_be_read_and_is_counted(
    store: ObjectStore, prefix: str, size: int
) -> None:
    content = bytes(index % 251 for index in range(size))
    key = f"{prefix}a/b c+ü.png"
    stored = await store.put(key, content, content_type=PNG, cache_control=IMMUTABLE)
    assert stored.size_bytes == size
    assert stored.sha256 == hashlib.sha256(content).hexdigest()
    async with store.open(key) as body:
        assert (body.start, body.length_bytes) == (0, size)
        assert body.info.content_type == PNG
        assert body.info.cache_control == IMMUTABLE
        assert await body.read() == content


@pytest.mark.parametrize("size", [0, 100_000, 20_000_001])
async def test_a_stream_of_any_length_is_stored_whole(
    store: ObjectStore, prefix: str, size: int
) -> None:
    content = (TEN * (size // 10 + 1))[:size]
    key = f"{prefix}streamed"
    stored = await store.put(key, in_chunks(content, 65_537), content_type=PNG)
    assert (stored.size_bytes, stored.sha256) == (size, hashlib.sha256(content).hexdigest())
    async with store.open(key) as body:
        assert body.info.size_bytes == size
        assert body.info.content_type == PNG
        assert hashlib.sha256(await body.read()).hexdigest() == stored.sha256


@pytest.mark.parametrize("name", ["a", "b c+d~e", "\N{LATIN SMALL LETTER E WITH ACUTE}/x=y&z%"])
@pytest.mark.parametrize("size", [0, 3, 2_000_000])
async def test_a_whole_body_is_stored_by_one_signed_request(
    options: S3Options, store: ObjectStore, prefix: str, name: str, size: int
) -> None:
    content = b"x" * size
    async with options.session() as session:
        is_stored = await putter(options, session).put(
            prefix + name,
            content,
            digest=hashlib.sha256(content).hexdigest(),
            headers={"Content-Type": PNG, "Cache-Control": IMMUTABLE},
        )
    assert is_stored
    async with store.open(prefix + name) as body:
        assert b"".join([chunk async for chunk in body.chunks()]) == content
        assert (body.info.content_type, body.info.cache_control) == (PNG, IMMUTABLE)


async def test_one_request_that_is_refused_says_so(options: S3Options, prefix: str) -> None:
    wrong = replace(options, secret_key=SecretStr("x" * 40))
    async with wrong.session() as session:
        assert not await putter(wrong, session).put(
            f"{prefix}a", TEN, digest=hashlib.sha256(TEN).hexdigest(), headers={}
        )


async def test_what_one_request_could_not_store_the_client_stores(
    options: S3Options, store: ObjectStore, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(*_words: object, **_names: object) -> bool:
        return False

    monkeypatch.setattr(Putter, "put", failing)
    await store.put(f"{prefix}a", TEN, content_type=PNG, cache_control=IMMUTABLE)
    info = await store.head(f"{prefix}a")
    assert (info.size_bytes, info.content_type, info.cache_control) == (10, PNG, IMMUTABLE)


async def test_what_one_request_could_not_read_the_client_reads(
    store: ObjectStore, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.put(f"{prefix}a", TEN, content_type=PNG, cache_control=IMMUTABLE)
    async with store.open(f"{prefix}a", ByteRange(2, 5)) as body:
        plain = (body.info, body.start, body.length_bytes, await body.read())

    async def failing(*_words: object, **_names: object) -> None:
        return None

    monkeypatch.setattr(Putter, "get", failing)
    async with store.open(f"{prefix}a", ByteRange(2, 5)) as body:
        assert (body.info, body.start, body.length_bytes, await body.read()) == plain
    assert plain[1:] == (2, 4, b"2345")


async def test_head_tells_what_is_stored(store: ObjectStore, prefix: str) -> None:
    await store.put(f"{prefix}a", TEN, content_type=PNG)
    info = await store.head(f"{prefix}a")
    assert (info.key, info.size_bytes, info.content_type) == (f"{prefix}a", 10, PNG)
    assert info.cache_control is None
    assert info.etag.startswith('"')
    assert abs(datetime.now(UTC) - info.modified_at) < timedelta(minutes=5)


async def test_putting_again_replaces(store: ObjectStore, prefix: str) -> None:
    await store.put(f"{prefix}a", b"old and long", content_type=PNG)
    before = await store.head(f"{prefix}a")
    await store.put(f"{prefix}a", b"new", content_type="image/webp")
    after = await store.head(f"{prefix}a")
    assert (after.size_bytes, after.content_type) == (3, "image/webp")
    assert after.etag != before.etag


@pytest.mark.parametrize(
    ("byte_range", "expected"),
    [
        (ByteRange(0, 3), b"0123"),
        (ByteRange(4, 9), b"456789"),
        (ByteRange(9, 9), b"9"),
        (ByteRange(8, 999), b"89"),
    ],
)
async def test_a_range_is_read_alone(
    store: ObjectStore,
    prefix: str,
    byte_range: ByteRange,
    expected: bytes,
) -> None:
    await store.put(f"{prefix}a", TEN, content_type=PNG)
    async with store.open(f"{prefix}a", byte_range) as body:
        assert (body.start, body.length_bytes) == (byte_range.first, len(expected))
        assert body.info.size_bytes == 10
        assert await body.read() == expected


async def test_a_range_behind_the_end_is_no_missing_file(store: ObjectStore, prefix: str) -> None:
    await store.put(f"{prefix}a", TEN, content_type=PNG)
    with pytest.raises(StorageUnavailable):
        async with store.open(f"{prefix}a", ByteRange(10, 20)):
            pass


async def test_what_is_missing_is_not_found(store: ObjectStore, prefix: str) -> None:
    with pytest.raises(ObjectNotFound):
        await store.head(f"{prefix}none")
    for byte_range in (None, ByteRange(0, 1)):
        with pytest.raises(ObjectNotFound):
            async with store.open(f"{prefix}none", byte_range):
                pass


async def test_an_opened_object_can_be_left_before_its_end(store: ObjectStore, prefix: str) -> None:
    await store.put(f"{prefix}a", TEN * 500_000, content_type=PNG)
    for _ in range(40):  # more than the pool of connections holds
        async with store.open(f"{prefix}a") as body:
            async for chunk in body.chunks():
                assert chunk.startswith(b"0123")
                break
    assert (await store.head(f"{prefix}a")).size_bytes == 5_000_000


async def test_deleting_is_by_many_and_forgives_what_is_missing(
    store: ObjectStore, prefix: str
) -> None:
    for name in "abc":
        await store.put(f"{prefix}{name}", TEN, content_type=PNG)
    await store.delete([f"{prefix}a", f"{prefix}none", f"{prefix}c"])
    await store.delete([])
    assert [each.key async for each in store.list(prefix)] == [f"{prefix}b"]


async def test_a_listing_is_whole_and_keeps_to_its_prefix(store: ObjectStore, prefix: str) -> None:
    for name in ("in/b", "in/a/deep", "in/a.png", "inner", "out"):
        await store.put(f"{prefix}{name}", name.encode(), content_type=PNG)
    listed = [each async for each in store.list(f"{prefix}in/")]
    assert {each.key.removeprefix(prefix): each.size_bytes for each in listed} == {
        "in/a.png": 8,
        "in/a/deep": 9,
        "in/b": 4,
    }
    assert len(listed) == 3
    assert [each async for each in store.list(f"{prefix}nothing/")] == []


@pytest.mark.parametrize("size", [11, 20_000_000])
async def test_a_body_beyond_the_callers_bound_is_not_stored(
    store: ObjectStore, prefix: str, size: int
) -> None:
    body = in_chunks(b"x" * size, 65_536)
    with pytest.raises(ObjectTooLarge):
        await store.put(f"{prefix}a", body, content_type=PNG, size_bytes_max=size - 1)
    assert [each async for each in store.list(prefix)] == []


async def test_a_body_that_breaks_raises_its_own_error_and_stores_nothing(
    store: ObjectStore, prefix: str
) -> None:
    with pytest.raises(ConnectionResetError, match="hung up"):
        await store.put(f"{prefix}a", breaking(), content_type=PNG)
    assert [each async for each in store.list(prefix)] == []


@pytest.mark.parametrize("extra", [-1, 0, 1])
async def test_a_body_of_about_one_part_is_whole(
    store: ObjectStore, prefix: str, extra: int
) -> None:
    content = b"p" * (PART_BYTES + extra)
    stored = await store.put(f"{prefix}a", content, content_type="image/png")
    assert stored.size_bytes == (await store.head(f"{prefix}a")).size_bytes == len(content)


async def test_a_listing_goes_on_after_its_first_page(store: ObjectStore, prefix: str) -> None:
    # A store that keeps folders walks them in another order than that of the keys.
    names = [f"{prefix}{number:04}{end}" for number in range(501) for end in (".png", "/deep")]
    for some in range(0, len(names), 32):
        await asyncio.gather(
            *(store.put(name, b"", content_type="image/png") for name in names[some : some + 32])
        )
    assert sorted([each.key async for each in store.list(prefix)]) == sorted(names)
    await store.delete(names)
    assert [each.key async for each in store.list(prefix)] == []


async def test_an_upload_that_breaks_leaves_no_parts_behind(
    options: S3Options, prefix: str
) -> None:
    async def breaking_late() -> AsyncIterator[bytes]:
        async for chunk in in_chunks(b"x" * (2 * PART_BYTES + 5), 1024 * 1024):
            yield chunk
        raise ConnectionResetError

    async with S3ObjectStore.connect(options) as store:
        with pytest.raises(ConnectionResetError):
            await store.put(f"{prefix}a", breaking_late(), content_type="image/png")
        uploads = await store._client.list_multipart_uploads(Bucket=options.bucket, Prefix=prefix)
    assert uploads.get("Uploads", []) == []


async def test_more_readers_than_connections_wait_their_turn(
    options: S3Options, prefix: str
) -> None:
    async with S3ObjectStore.connect(replace(options, connections_max=2)) as store:
        await store.put(f"{prefix}a", b"x" * 100_000, content_type="image/png")

        async def read() -> int:
            async with store.open(f"{prefix}a") as body:
                return len(await body.read())

        assert await asyncio.gather(*(read() for _ in range(12))) == [100_000] * 12


async def test_a_server_that_is_not_there_is_an_outage(options: S3Options) -> None:
    nowhere = replace(options, endpoint="http://127.0.0.1:9", attempts_max=1)
    async with S3ObjectStore.connect(nowhere) as store:
        for attempt in (store.head("a"), store.delete(["a"])):
            with pytest.raises(StorageUnavailable):
                await attempt


async def test_a_refused_log_in_is_an_outage_and_not_a_missing_file(options: S3Options) -> None:
    wrong = replace(options, secret_key=SecretStr("wrong"))
    async with S3ObjectStore.connect(wrong) as store:
        with pytest.raises(StorageUnavailable):
            await store.put("a", b"x", content_type="image/png")
        with pytest.raises(StorageUnavailable):
            async with store.open("a"):
                pass


async def test_a_missing_bucket_is_an_outage_and_not_a_missing_file(options: S3Options) -> None:
    async with S3ObjectStore.connect(replace(options, bucket="elsewhere")) as store:
        with pytest.raises(StorageUnavailable):
            async with store.open("a"):
                pass


async def test_a_server_that_hangs_is_an_outage_after_the_timeout(options: S3Options) -> None:
    async def hang(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(20)
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    hanging = replace(
        options, endpoint=f"http://127.0.0.1:{port}", attempts_max=1, read_timeout_seconds=0.2
    )
    async with server, S3ObjectStore.connect(hanging) as store, asyncio.timeout(15):
        with pytest.raises(StorageUnavailable):
            await store.head("a")


async def test_an_answer_that_is_cut_short_is_an_outage_and_no_short_file(
    options: S3Options,
) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nContent-Type: image/png\r\n"
            b'ETag: "e"\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\nhalf'
        )
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(cut, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    cutting = replace(options, endpoint=f"http://127.0.0.1:{port}", attempts_max=1)
    async with server, S3ObjectStore.connect(cutting) as store, store.open("a") as body:
        with pytest.raises(StorageUnavailable):
            await body.read()
