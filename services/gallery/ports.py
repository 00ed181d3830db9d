"""What the gallery asks of third parties."""

from collections.abc import AsyncIterable, AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from libs.runtime.objects import ByteRange, ListedObject, ObjectBody, StoredObject


class AssetSource(Protocol):
    """Where the content of assets is read."""

    def open(
        self, key: str, byte_range: ByteRange | None = None
    ) -> AbstractAsyncContextManager[ObjectBody]:
        """Read an object, or a part of it, as a stream.

        Raises:
            ObjectNotFound: there is none.
            StorageUnavailable: the store does not answer.
        """
        ...


class AssetSink(Protocol):
    """Where the content of assets is kept, and deleted once nobody may see it any more."""

    async def put(
        self,
        key: str,
        body: AsyncIterable[bytes],
        *,
        content_type: str,
        cache_control: str | None = None,
    ) -> StoredObject:
        """Store a body as it comes; all of it or nothing.

        Raises:
            StorageUnavailable: the store does not answer.
        """
        ...

    def list(self, prefix: str) -> AsyncIterator[ListedObject]:
        """Every object whose key begins with `prefix`."""
        ...

    async def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; one that is not there is fine.

        Raises:
            StorageUnavailable: the store does not answer.
        """
        ...
