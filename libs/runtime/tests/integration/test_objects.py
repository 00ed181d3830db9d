"""The S3 client against a real server keeps the contract, and outages have a type."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from msgspec.structs import replace
from pydantic import SecretStr

from infra.local.cluster import LocalCluster
from libs.runtime.objects import ObjectStore, StorageUnavailable
from libs.runtime.objects_s3 import PART_BYTES, S3ObjectStore, S3Options
from libs.runtime.tests.object_store_contract import ObjectStoreContract, in_chunks


@pytest.fixture
def options(cluster: LocalCluster) -> S3Options:
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


@pytest.fixture
def prefix() -> str:
    return f"contract/{uuid4().hex}/"


class TestS3Store(ObjectStoreContract):
    """Fixtures as above."""


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
    async def breaking() -> AsyncIterator[bytes]:
        async for chunk in in_chunks(b"x" * (2 * PART_BYTES + 5), 1024 * 1024):
            yield chunk
        raise ConnectionResetError

    async with S3ObjectStore.connect(options) as store:
        with pytest.raises(ConnectionResetError):
            await store.put(f"{prefix}a", breaking(), content_type="image/png")
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
        for attempt in (store.check(), store.head("a"), store.delete(["a"])):
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
            await store.check()
        with pytest.raises(StorageUnavailable):
            async with store.open("a"):
                pass


async def test_a_server_that_hangs_is_an_outage_after_the_timeout(options: S3Options) -> None:
    async def hang(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(2)
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    hanging = replace(
        options, endpoint=f"http://127.0.0.1:{port}", attempts_max=1, read_timeout_seconds=0.2
    )
    async with server, S3ObjectStore.connect(hanging) as store, asyncio.timeout(2):
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
