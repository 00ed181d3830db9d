"""Answers of object storage as the port has them, and what goes wrong as the port names it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any, Final

import aiohttp
import structlog
from botocore.exceptions import BotoCoreError, ClientError

from libs.runtime.objects import ObjectBody, ObjectInfo, ObjectNotFound, StorageUnavailable

CHUNK_BYTES: Final = 64 * 1024
MISSING: Final = frozenset({"NoSuchKey", "NotFound", "404"})

logger = structlog.get_logger(__name__)


async def chunks(key: str, stream: Any) -> AsyncIterator[bytes]:
    while True:
        with typed_errors(key):
            chunk: bytes = await stream.read(CHUNK_BYTES)
        if not chunk:
            return
        yield chunk


def opened(key: str, found: aiohttp.ClientResponse) -> ObjectBody:
    """An answer as the client would have told it."""
    headers = found.headers
    answer: dict[str, Any] = {
        "ContentLength": int(headers["Content-Length"]),
        "ContentRange": headers.get("Content-Range"),
        "ContentType": headers.get("Content-Type", "application/octet-stream"),
        "CacheControl": headers.get("Cache-Control"),
        "ETag": headers["ETag"],
        "LastModified": parsedate_to_datetime(headers["Last-Modified"]),
    }
    start, length_bytes, size_bytes = extent(answer)
    return ObjectBody(
        info=info(key, answer, size_bytes),
        start=start,
        length_bytes=length_bytes,
        chunks=lambda: pieces(key, found, length_bytes),
    )


async def pieces(
    key: str, found: aiohttp.ClientResponse, length_bytes: int
) -> AsyncIterator[bytes]:
    """The content as it comes in: nothing is put together only to be cut again."""
    left = length_bytes
    while left > 0:
        with typed_errors(key):
            piece = await found.content.readany()
        if not piece:
            raise unavailable(key, "the answer ended early")
        left -= len(piece)
        yield piece


def extent(answer: dict[str, Any]) -> tuple[int, int, int]:
    """(first byte, number of bytes, size of the whole)."""
    length_bytes = answer["ContentLength"]
    content_range = answer.get("ContentRange")
    if not content_range:
        return 0, length_bytes, length_bytes
    span, size_bytes = content_range.removeprefix("bytes ").split("/")
    return int(span.split("-")[0]), length_bytes, int(size_bytes)


def info(key: str, answer: dict[str, Any], size_bytes: int) -> ObjectInfo:
    return ObjectInfo(
        key=key,
        size_bytes=size_bytes,
        content_type=answer.get("ContentType", "application/octet-stream"),
        cache_control=answer.get("CacheControl"),
        etag=answer["ETag"],
        modified_at=answer["LastModified"],
    )


@contextmanager
def typed_errors(key: str) -> Iterator[None]:
    """Only ever around a call to the store: what a caller's own stream raises is the caller's."""
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "unknown")
        if code in MISSING:
            raise ObjectNotFound(key) from error
        raise unavailable(key, code) from error
    except (BotoCoreError, aiohttp.ClientError, OSError) as error:  # OSError: timeouts as well
        raise unavailable(key, type(error).__name__) from error


def unavailable(key: str, reason: str) -> StorageUnavailable:
    logger.warning("storage_unavailable", key=key, reason=reason)
    return StorageUnavailable(reason)
