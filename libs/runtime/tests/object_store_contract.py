"""What every object store must do; run for the one in memory and for a real one."""

import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from libs.runtime.errors import RangeNotSatisfiable
from libs.runtime.objects import ByteRange, ObjectNotFound, ObjectStore, ObjectTooLarge

PNG = "image/png"
IMMUTABLE = "public, max-age=31536000, immutable"
TEN = b"0123456789"


async def in_chunks(content: bytes, size: int) -> AsyncIterator[bytes]:
    for position in range(0, len(content), size):
        yield content[position : position + size]


async def breaking() -> AsyncIterator[bytes]:
    yield b"x" * 1000
    raise ConnectionResetError("the provider hung up")


class ObjectStoreContract:
    """Subclasses give the fixtures `store` and `prefix` (keys of this test alone)."""

    @pytest.mark.parametrize("size", [0, 1, 70_000])
    async def test_what_is_put_can_be_read_and_is_counted(
        self, store: ObjectStore, prefix: str, size: int
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
        self, store: ObjectStore, prefix: str, size: int
    ) -> None:
        content = (TEN * (size // 10 + 1))[:size]
        key = f"{prefix}streamed"
        stored = await store.put(key, in_chunks(content, 65_537), content_type=PNG)
        assert (stored.size_bytes, stored.sha256) == (size, hashlib.sha256(content).hexdigest())
        async with store.open(key) as body:
            assert body.info.size_bytes == size
            assert body.info.content_type == PNG
            assert hashlib.sha256(await body.read()).hexdigest() == stored.sha256

    async def test_head_tells_what_is_stored(self, store: ObjectStore, prefix: str) -> None:
        await store.put(f"{prefix}a", TEN, content_type=PNG)
        info = await store.head(f"{prefix}a")
        assert (info.key, info.size_bytes, info.content_type) == (f"{prefix}a", 10, PNG)
        assert info.cache_control is None
        assert info.etag.startswith('"')
        assert abs(datetime.now(UTC) - info.modified_at) < timedelta(minutes=5)

    async def test_putting_again_replaces(self, store: ObjectStore, prefix: str) -> None:
        await store.put(f"{prefix}a", b"old and long", content_type=PNG)
        before = await store.head(f"{prefix}a")
        await store.put(f"{prefix}a", b"new", content_type="image/webp")
        after = await store.head(f"{prefix}a")
        assert (after.size_bytes, after.content_type) == (3, "image/webp")
        assert after.etag != before.etag

    @pytest.mark.parametrize(
        ("byte_range", "expected", "content_range"),
        [
            (ByteRange(0, 3), b"0123", "bytes 0-3/10"),
            (ByteRange(4), b"456789", "bytes 4-9/10"),
            (ByteRange(9, 9), b"9", "bytes 9-9/10"),
            (ByteRange(8, 999), b"89", "bytes 8-9/10"),
            (ByteRange(-3), b"789", "bytes 7-9/10"),
            (ByteRange(-999), TEN, "bytes 0-9/10"),
        ],
    )
    async def test_a_range_is_read_alone(
        self,
        store: ObjectStore,
        prefix: str,
        byte_range: ByteRange,
        expected: bytes,
        content_range: str,
    ) -> None:
        await store.put(f"{prefix}a", TEN, content_type=PNG)
        async with store.open(f"{prefix}a", byte_range) as body:
            assert body.content_range == content_range
            assert (body.length_bytes, body.info.size_bytes) == (len(expected), 10)
            assert await body.read() == expected

    @pytest.mark.parametrize("byte_range", [ByteRange(10), ByteRange(10, 20)])
    async def test_a_range_behind_the_end_is_refused_with_the_size(
        self, store: ObjectStore, prefix: str, byte_range: ByteRange
    ) -> None:
        await store.put(f"{prefix}a", TEN, content_type=PNG)
        with pytest.raises(RangeNotSatisfiable) as refusal:
            async with store.open(f"{prefix}a", byte_range):
                pass
        assert refusal.value.size_bytes == 10

    async def test_what_is_missing_is_not_found(self, store: ObjectStore, prefix: str) -> None:
        with pytest.raises(ObjectNotFound):
            await store.head(f"{prefix}none")
        for byte_range in (None, ByteRange(0, 1)):
            with pytest.raises(ObjectNotFound):
                async with store.open(f"{prefix}none", byte_range):
                    pass

    async def test_an_opened_object_can_be_left_before_its_end(
        self, store: ObjectStore, prefix: str
    ) -> None:
        await store.put(f"{prefix}a", TEN * 500_000, content_type=PNG)
        for _ in range(40):  # more than the pool of connections holds
            async with store.open(f"{prefix}a") as body:
                async for chunk in body.chunks():
                    assert chunk.startswith(b"0123")
                    break
        assert (await store.head(f"{prefix}a")).size_bytes == 5_000_000

    async def test_deleting_is_by_many_and_forgives_what_is_missing(
        self, store: ObjectStore, prefix: str
    ) -> None:
        for name in "abc":
            await store.put(f"{prefix}{name}", TEN, content_type=PNG)
        await store.delete([f"{prefix}a", f"{prefix}none", f"{prefix}c"])
        await store.delete([])
        assert [each.key async for each in store.list(prefix)] == [f"{prefix}b"]

    async def test_a_listing_is_whole_and_keeps_to_its_prefix(
        self, store: ObjectStore, prefix: str
    ) -> None:
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
        self, store: ObjectStore, prefix: str, size: int
    ) -> None:
        body = in_chunks(b"x" * size, 65_536)
        with pytest.raises(ObjectTooLarge):
            await store.put(f"{prefix}a", body, content_type=PNG, size_bytes_max=size - 1)
        assert [each async for each in store.list(prefix)] == []

    async def test_a_body_that_breaks_raises_its_own_error_and_stores_nothing(
        self, store: ObjectStore, prefix: str
    ) -> None:
        with pytest.raises(ConnectionResetError, match="hung up"):
            await store.put(f"{prefix}a", breaking(), content_type=PNG)
        assert [each async for each in store.list(prefix)] == []

    async def test_a_store_that_works_says_so(self, store: ObjectStore) -> None:
        await store.check()
