"""What the gallery asks of third parties."""

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from libs.runtime.objects import ByteRange, ObjectBody


class AssetSource(Protocol):
    """Where the content of assets is read. The gallery writes nothing there."""

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
    """Where the content of assets is deleted, once nobody may see it any more."""

    async def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; one that is not there is fine.

        Raises:
            StorageUnavailable: the store does not answer.
        """
        ...
