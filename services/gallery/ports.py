"""What the gallery asks of third parties."""

from collections.abc import AsyncIterable, AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from libs.runtime.objects import ByteRange, ListedObject, ObjectBody, StoredObject
from services.gallery.domain.thumbnails import Shrunk


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
        body: bytes | AsyncIterable[bytes],
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


class UnshrinkableError(ValueError):
    """Of these bytes there will never be a thumbnail; the text says why."""


class ShrinkerFailedError(RuntimeError):
    """It has died, or takes too long: another attempt may do better."""


class Shrinker(Protocol):
    """Makes pictures small, away from the event loop and from all that the service knows."""

    async def shrink(self, content: AsyncIterator[bytes], size_bytes: int) -> Shrunk:
        """Make a picture small. What is not ours to mend, such as storage, passes through.

        Raises:
            UnshrinkableError: it is none, damaged, or unfolds into too much.
            ShrinkerFailedError: the attempt has come to nothing.
        """
        ...

    async def close(self) -> None:
        """End what runs for it."""
        ...
