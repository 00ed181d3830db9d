"""Assets out of S3, over one client that lives as long as the process serves."""

from collections.abc import AsyncIterable, AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType
from typing import Self

from libs.runtime.objects import (
    ByteRange,
    ListedObject,
    ObjectBody,
    StorageUnavailable,
    StoredObject,
)
from libs.runtime.objects_s3 import S3ObjectStore, S3Options
from services.gallery.ports import AssetSink, AssetSource


class S3Assets(AssetSource, AssetSink):
    """Made before the event loop runs, usable inside of `async with`."""

    def __init__(self, options: S3Options) -> None:
        self._options = options
        self._stack = AsyncExitStack()
        self._store: S3ObjectStore | None = None

    async def __aenter__(self) -> Self:
        self._store = await self._stack.enter_async_context(S3ObjectStore.connect(self._options))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._store = None
        await self._stack.aclose()

    def open(
        self, key: str, byte_range: ByteRange | None = None
    ) -> AbstractAsyncContextManager[ObjectBody]:
        return self._opened().open(key, byte_range)

    async def put(
        self,
        key: str,
        body: bytes | AsyncIterable[bytes],
        *,
        content_type: str,
        cache_control: str | None = None,
    ) -> StoredObject:
        return await self._opened().put(
            key, body, content_type=content_type, cache_control=cache_control
        )

    def list(self, prefix: str) -> AsyncIterator[ListedObject]:
        return self._opened().list(prefix)

    async def delete(self, keys: Iterable[str]) -> None:
        await self._opened().delete(keys)

    def _opened(self) -> S3ObjectStore:
        if self._store is None:
            raise StorageUnavailable("not open")
        return self._store
