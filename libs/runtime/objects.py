"""The port to object storage: what it can do, what crosses it, what can go wrong.

The one that keeps it is `libs/runtime/objects_s3`.
"""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from libs.runtime.errors import NotFound, PayloadTooLarge, Unavailable


class ObjectNotFound(NotFound):
    """Nothing is stored under the key."""

    code = "object_not_found"

    def __init__(self, key: str) -> None:
        super().__init__("This file does not exist.")
        self.key = key


class ObjectTooLarge(PayloadTooLarge):
    """The body goes on beyond what the caller allowed; nothing was stored."""

    code = "object_too_large"

    def __init__(self, size_bytes_max: int) -> None:
        super().__init__(f"The file is too large: at most {size_bytes_max} bytes are stored.")


class StorageUnavailable(Unavailable):
    """The store does not answer, or not as it should; `reason` is for the log."""

    code = "storage_unavailable"

    def __init__(self, reason: str) -> None:
        super().__init__("The file storage does not answer; try again in a moment.")
        self.reason = reason


class ByteRange(Struct, frozen=True):
    """Bytes `first` to `last`, both included; cut to the object where it ends before."""

    first: int
    last: int

    def header(self) -> str:
        """As the value of a `Range` header."""
        return f"bytes={self.first}-{self.last}"


class StoredObject(Struct, frozen=True, kw_only=True):
    """What was stored, as it was counted on the way."""

    key: str
    size_bytes: int
    sha256: str
    content_type: str


class ObjectInfo(Struct, frozen=True, kw_only=True):
    """What the store knows of an object."""

    key: str
    size_bytes: int
    content_type: str
    cache_control: str | None
    etag: str
    modified_at: datetime


class ListedObject(Struct, frozen=True, kw_only=True):
    """A line of a listing."""

    key: str
    size_bytes: int
    modified_at: datetime


class ObjectBody(Struct, frozen=True, kw_only=True):
    """An opened object: `length_bytes` bytes from `start` on; read `chunks()` once."""

    info: ObjectInfo
    start: int
    length_bytes: int
    chunks: Callable[[], AsyncIterator[bytes]]

    async def read(self) -> bytes:
        """All of it at once, for what is known to be small."""
        return b"".join([chunk async for chunk in self.chunks()])


class ObjectStore(Protocol):
    """One bucket. Every method may raise `StorageUnavailable`."""

    async def put(
        self,
        key: str,
        body: bytes | AsyncIterable[bytes],
        *,
        content_type: str,
        cache_control: str | None = None,
        size_bytes_max: int | None = None,
    ) -> StoredObject:
        """Store a body under a key, replacing what was there; all of it or nothing.

        Raises:
            ObjectTooLarge: the body is longer than `size_bytes_max`.
        """
        ...

    def open(
        self, key: str, byte_range: ByteRange | None = None
    ) -> AbstractAsyncContextManager[ObjectBody]:
        """Read an object, or a part of it, as a stream.

        Raises:
            ObjectNotFound: there is none.
            StorageUnavailable: also if the range begins behind its end.
        """
        ...

    async def head(self, key: str) -> ObjectInfo:
        """What is known of an object.

        Raises:
            ObjectNotFound: there is none.
        """
        ...

    async def address(self, key: str, *, seconds: int) -> str:
        """A URL under which anybody can read an object for so long, as the store sees itself."""
        ...

    async def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; one that is not there is fine."""
        ...

    def list(self, prefix: str) -> AsyncIterator[ListedObject]:
        """Every object whose key begins with `prefix`, each once, in the store's own order."""
        ...
