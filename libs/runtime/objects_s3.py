"""Object storage over S3: one client and one bounded pool per process."""

import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any, Final, Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aioboto3
import aiohttp
import structlog
from aiobotocore.config import AioConfig
from botocore.exceptions import BotoCoreError, ClientError
from msgspec import Struct
from pydantic import SecretStr

from libs.runtime.objects import (
    ByteRange,
    ListedObject,
    ObjectBody,
    ObjectInfo,
    ObjectStore,
    ObjectTooLarge,
    StorageUnavailable,
    StoredObject,
)
from libs.runtime.s3_answers import MISSING, chunks, extent, info, opened, typed_errors
from libs.runtime.s3_put import Putter
from libs.runtime.settings import StorageSettings

PART_BYTES: Final = 5 * 1024 * 1024  # the smallest that S3 takes; this much is held in memory
_GROWN_BYTES_MAX: Final = 1024 * 1024
_DELETED_AT_ONCE_MAX: Final = 1_000  # the protocol's own bound

logger = structlog.get_logger(__name__)


class S3Options(Struct, frozen=True, kw_only=True):
    """Where the bucket is, and how long and how often to try."""

    endpoint: str
    region: str
    bucket: str
    access_key: SecretStr
    secret_key: SecretStr
    connections_max: int = 32
    connect_timeout_seconds: float = 3.0
    read_timeout_seconds: float = 30.0
    attempts_max: int = 4
    checksums: str = "when_required"

    @classmethod
    def of(
        cls, settings: StorageSettings, *, connections_max: int = 32, attempts_max: int = 4
    ) -> Self:
        return cls(
            endpoint=settings.s3_endpoint,
            region=settings.s3_region,
            bucket=settings.s3_bucket,
            access_key=settings.s3_access_key,
            secret_key=settings.s3_secret_key,
            connections_max=connections_max,
            attempts_max=attempts_max,
            checksums=settings.s3_checksums,
        )

    def config(self) -> AioConfig:
        return AioConfig(
            signature_version="s3v4",
            # Servers other than Amazon's know the bucket by the path, and few know its checksums.
            s3={"addressing_style": "path"},
            request_checksum_calculation=self.checksums,
            response_checksum_validation=self.checksums,
            max_pool_connections=self.connections_max,
            connect_timeout=self.connect_timeout_seconds,
            read_timeout=self.read_timeout_seconds,
            retries={"mode": "standard", "total_max_attempts": self.attempts_max},
        )

    def session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self.connections_max),
            timeout=aiohttp.ClientTimeout(
                total=None,
                sock_connect=self.connect_timeout_seconds,
                sock_read=self.read_timeout_seconds,
            ),
            proxy=self._proxy(),  # as the client does
        )

    def _proxy(self) -> str | None:
        place = urlsplit(self.endpoint)
        return None if proxy_bypass(place.hostname or "") else getproxies().get(place.scheme)


class S3ObjectStore(ObjectStore):
    """Open it with `async with S3ObjectStore.connect(options) as store`."""

    def __init__(self, client: Any, putter: Putter, bucket: str) -> None:
        self._client = client
        self._putter = putter
        self._bucket = bucket

    @classmethod
    @asynccontextmanager
    async def connect(cls, options: S3Options) -> AsyncIterator[Self]:
        """A client for the life of the process; nothing is sent yet."""
        session = aioboto3.Session(
            aws_access_key_id=options.access_key.get_secret_value(),
            aws_secret_access_key=options.secret_key.get_secret_value(),
            region_name=options.region,
        )
        async with (
            session.client("s3", endpoint_url=options.endpoint, config=options.config()) as client,
            options.session() as connections,
        ):
            putter = Putter(
                connections,
                endpoint=options.endpoint,
                region=options.region,
                bucket=options.bucket,
                access_key=options.access_key.get_secret_value(),
                secret_key=options.secret_key,
            )
            yield cls(client, putter, options.bucket)

    async def put(
        self,
        key: str,
        body: bytes | AsyncIterable[bytes],
        *,
        content_type: str,
        cache_control: str | None = None,
        size_bytes_max: int | None = None,
    ) -> StoredObject:
        metered = _Metered(body, size_bytes_max)
        headers = {"Content-Type": content_type}
        if cache_control is not None:
            headers["Cache-Control"] = cache_control
        parts = metered.parts()
        first = await anext(parts)
        if metered.is_read:
            await self._put_whole(key, first.getvalue(), metered.digest.hexdigest(), headers)
        else:
            await self._put_in_parts(key, first, parts, _as_arguments(headers))
        return StoredObject(
            key=key,
            size_bytes=metered.size_bytes,
            sha256=metered.digest.hexdigest(),
            content_type=content_type,
        )

    async def _put_whole(self, key: str, body: bytes, digest: str, headers: dict[str, str]) -> None:
        if await self._putter.put(key, body, digest=digest, headers=headers):
            return
        with typed_errors(key):  # the client knows what to try again, and tells what is wrong
            await self._client.put_object(
                Bucket=self._bucket, Key=key, Body=body, **_as_arguments(headers)
            )

    async def _put_in_parts(
        self,
        key: str,
        first: BytesIO,
        rest: AsyncIterator[BytesIO],
        headers: dict[str, str],
    ) -> None:
        target = {"Bucket": self._bucket, "Key": key}
        with typed_errors(key):
            upload = await self._client.create_multipart_upload(**target, **headers)
        target["UploadId"] = upload["UploadId"]
        done: list[dict[str, Any]] = []
        try:
            part: BytesIO | None = first
            del first  # of each part there is one copy at a time
            while part is not None:
                number = len(done) + 1
                with typed_errors(key):
                    sent = await self._client.upload_part(**target, PartNumber=number, Body=part)
                done.append({"PartNumber": number, "ETag": sent["ETag"]})
                part.close()  # whoever still refers to it, its memory is free
                part = await anext(rest, None)
            with typed_errors(key):
                await self._client.complete_multipart_upload(
                    **target, MultipartUpload={"Parts": done}
                )
        except BaseException:
            await self._abandon(target)
            raise

    async def _abandon(self, target: dict[str, str]) -> None:
        """Loose parts cost money for ever; if this fails, a rule of the bucket must end them."""
        try:
            await self._client.abort_multipart_upload(**target)
        except (ClientError, BotoCoreError, aiohttp.ClientError, OSError) as error:
            logger.warning("upload_not_abandoned", key=target["Key"], error=str(error))

    @asynccontextmanager
    async def open(
        self, key: str, byte_range: ByteRange | None = None
    ) -> AsyncIterator[ObjectBody]:
        asked = {} if byte_range is None else {"Range": byte_range.header()}
        found = await self._putter.get(key, asked)
        if found is not None:
            try:
                yield opened(key, found)
            finally:
                found.close()  # left early, this closes the connection and reads no rest
            return
        # The client knows what to try again, and tells what is wrong.
        answer = await self._get(key, byte_range)
        stream = answer["Body"]
        async with stream:
            start, length_bytes, size_bytes = extent(answer)
            yield ObjectBody(
                info=info(key, answer, size_bytes),
                start=start,
                length_bytes=length_bytes,
                chunks=lambda: chunks(key, stream),
            )

    async def _get(self, key: str, byte_range: ByteRange | None) -> dict[str, Any]:
        arguments = {"Bucket": self._bucket, "Key": key}
        if byte_range is not None:
            arguments["Range"] = byte_range.header()
        with typed_errors(key):
            answer: dict[str, Any] = await self._client.get_object(**arguments)
        return answer

    async def head(self, key: str) -> ObjectInfo:
        with typed_errors(key):
            answer = await self._client.head_object(Bucket=self._bucket, Key=key)
        return info(key, answer, answer["ContentLength"])

    async def address(self, key: str, *, seconds: int) -> str:
        signed: str = await self._client.generate_presigned_url(
            "get_object", Params={"Bucket": self._bucket, "Key": key}, ExpiresIn=seconds
        )
        return signed

    async def delete(self, keys: Iterable[str]) -> None:
        objects = [{"Key": key} for key in keys]
        for start in range(0, len(objects), _DELETED_AT_ONCE_MAX):
            some = objects[start : start + _DELETED_AT_ONCE_MAX]
            with typed_errors(some[0]["Key"]):
                answer = await self._client.delete_objects(
                    Bucket=self._bucket, Delete={"Objects": some, "Quiet": True}
                )
            failed = [each for each in answer.get("Errors", ()) if each["Code"] not in MISSING]
            if failed:
                raise StorageUnavailable(f"{len(failed)} not deleted: {failed[0]['Code']}")

    async def list(self, prefix: str) -> AsyncIterator[ListedObject]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=prefix
        )
        iterator = aiter(pages)
        while True:
            with typed_errors(prefix):
                page = await anext(iterator, None)
            if page is None:
                return
            for each in page.get("Contents", ()):
                yield ListedObject(
                    key=each["Key"], size_bytes=each["Size"], modified_at=each["LastModified"]
                )


class _Metered:
    """Cuts a body into parts for S3 while counting and hashing what passes."""

    def __init__(self, body: bytes | AsyncIterable[bytes], size_bytes_max: int | None) -> None:
        self.size_bytes = 0
        self.is_read = False
        self.digest = hashlib.sha256()
        self._body = body
        self._size_bytes_max = size_bytes_max

    async def parts(self) -> AsyncIterator[BytesIO]:
        """At least one part, maybe empty; all but the last of the same size."""
        waiting = BytesIO()
        async for chunk in self._chunks():
            self._count(chunk)
            rest = memoryview(chunk)
            while waiting.tell() + len(rest) > PART_BYTES:
                room = PART_BYTES - waiting.tell()
                _append(waiting, rest[:room])
                rest = rest[room:]
                waiting.seek(0)
                part, waiting = waiting, BytesIO()
                yield part
                del part
            _append(waiting, rest)
        self.is_read = True
        waiting.truncate()
        waiting.seek(0)
        yield waiting

    async def _chunks(self) -> AsyncIterator[bytes]:
        if isinstance(self._body, bytes):
            yield self._body
            return
        async for chunk in self._body:
            yield chunk

    def _count(self, chunk: bytes) -> None:
        self.size_bytes += len(chunk)
        if self._size_bytes_max is not None and self.size_bytes > self._size_bytes_max:
            raise ObjectTooLarge(self._size_bytes_max)
        self.digest.update(chunk)


def _append(part: BytesIO, content: memoryview) -> None:
    """Write, and make room for a whole part at once: growing step by step holds it twice."""
    place = part.tell()
    if place + len(content) > _GROWN_BYTES_MAX and part.getbuffer().nbytes < PART_BYTES:
        part.seek(PART_BYTES - 1)
        part.write(b"\0")
        part.seek(place)
    part.write(content)


def _as_arguments(headers: dict[str, str]) -> dict[str, str]:
    """Headers as the client names them."""
    return {name.replace("-", ""): value for name, value in headers.items()}
