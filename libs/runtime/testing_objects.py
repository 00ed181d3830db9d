"""Object storage in memory for unit tests; it passes the same contract as the real one."""

import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Final

from msgspec import Struct

from libs.runtime.clock import Clock, SystemClock
from libs.runtime.errors import RangeNotSatisfiable
from libs.runtime.objects import (
    ByteRange,
    ListedObject,
    ObjectBody,
    ObjectInfo,
    ObjectNotFound,
    ObjectStore,
    ObjectTooLarge,
    StorageUnavailable,
    StoredObject,
)

_CHUNK_BYTES: Final = 64 * 1024


class _Kept(Struct, frozen=True):
    info: ObjectInfo
    content: bytes


class InMemoryObjectStore(ObjectStore):
    """Set `is_down` to have every call refused as an outage would."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.is_down = False
        self._clock = clock or SystemClock()
        self._kept: dict[str, _Kept] = {}

    async def put(
        self,
        key: str,
        body: bytes | AsyncIterable[bytes],
        *,
        content_type: str,
        cache_control: str | None = None,
        size_bytes_max: int | None = None,
    ) -> StoredObject:
        received = bytearray()
        async for chunk in _as_chunks(body):
            received += chunk
            if size_bytes_max is not None and len(received) > size_bytes_max:
                raise ObjectTooLarge(size_bytes_max)
        content = bytes(received)
        await self.check()
        info = ObjectInfo(
            key=key,
            size_bytes=len(content),
            content_type=content_type,
            cache_control=cache_control,
            etag=f'"{hashlib.sha256(content).hexdigest()[:32]}"',
            modified_at=self._clock.now(),
        )
        self._kept[key] = _Kept(info, content)
        return StoredObject(
            key=key,
            size_bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            content_type=content_type,
        )

    @asynccontextmanager
    async def open(
        self, key: str, byte_range: ByteRange | None = None
    ) -> AsyncIterator[ObjectBody]:
        kept = await self._find(key)
        start, end = _span(byte_range, kept.info.size_bytes)
        part = kept.content[start:end]

        async def chunks() -> AsyncIterator[bytes]:
            for position in range(0, len(part), _CHUNK_BYTES):
                await self.check()
                yield part[position : position + _CHUNK_BYTES]

        yield ObjectBody(info=kept.info, start=start, length_bytes=len(part), chunks=chunks)

    async def head(self, key: str) -> ObjectInfo:
        return (await self._find(key)).info

    async def delete(self, keys: Iterable[str]) -> None:
        await self.check()
        for key in keys:
            self._kept.pop(key, None)

    async def list(self, prefix: str) -> AsyncIterator[ListedObject]:
        await self.check()
        for key in sorted(self._kept):
            if key.startswith(prefix):
                info = self._kept[key].info
                yield ListedObject(
                    key=key, size_bytes=info.size_bytes, modified_at=info.modified_at
                )

    async def check(self) -> None:
        if self.is_down:
            raise StorageUnavailable("down for a test")

    async def _find(self, key: str) -> _Kept:
        await self.check()
        kept = self._kept.get(key)
        if kept is None:
            raise ObjectNotFound(key)
        return kept


async def _as_chunks(body: bytes | AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    if isinstance(body, bytes):
        yield body
        return
    async for chunk in body:
        yield chunk


def _span(byte_range: ByteRange | None, size_bytes: int) -> tuple[int, int]:
    """First byte and the one behind the last."""
    if byte_range is None:
        return 0, size_bytes
    start = max(0, size_bytes + byte_range.first) if byte_range.first < 0 else byte_range.first
    if start >= size_bytes:
        raise RangeNotSatisfiable(
            f"The file has {size_bytes} bytes; ask for a range within them.",
            size_bytes=size_bytes,
        )
    last = size_bytes - 1 if byte_range.last is None else min(byte_range.last, size_bytes - 1)
    return start, last + 1
