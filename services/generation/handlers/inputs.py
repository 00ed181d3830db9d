"""The pictures that a job is to be made from: found in storage, bounded, read as they are sent."""

import asyncio
from collections.abc import AsyncIterator

from libs.events.generation import FailureCode, InputRole, RequestFacts, input_roles
from libs.events.media import INPUT_TYPES
from libs.runtime.objects import ObjectNotFound, ObjectStore
from services.generation.domain.capabilities import Capabilities
from services.generation.ports import ByteStream, Input, ProviderError

ADDRESS_SECONDS = 3600


class StoredInput(Input):
    """One object of the bucket."""

    def __init__(
        self, objects: ObjectStore, key: str, *, role: InputRole, content_type: str, size_bytes: int
    ) -> None:
        self._objects = objects
        self._key = key
        self._role = role
        self._content_type = content_type
        self._size_bytes = size_bytes

    @property
    def role(self) -> InputRole:
        return self._role

    @property
    def content_type(self) -> str:
        return self._content_type

    @property
    def size_bytes(self) -> int:
        return self._size_bytes

    def stream(self) -> ByteStream:
        return self._stream()

    async def _stream(self) -> AsyncIterator[bytes]:
        async with self._objects.open(self._key) as body:
            async for chunk in body.chunks():
                yield chunk

    async def address(self) -> str:
        return await self._objects.address(self._key, seconds=ADDRESS_SECONDS)


async def open_inputs(
    objects: ObjectStore, request: RequestFacts, capabilities: Capabilities
) -> tuple[Input, ...]:
    """The inputs of a request, none of them read yet.

    Raises:
        ProviderError: one is gone, is no picture, or too large for the provider.
        StorageUnavailable: the object store does not answer.
    """
    keys = request.input_keys
    if not keys:
        return ()
    roles = input_roles(request.operation, len(keys), request.options)
    inputs = await asyncio.gather(
        *(_open(objects, key, role) for key, role in zip(keys, roles, strict=True))
    )
    sizes = [each.size_bytes for each in inputs]
    if max(sizes) > capabilities.input_bytes_max or sum(sizes) > capabilities.inputs_bytes_max:
        one, all_of_them = capabilities.input_bytes_max, capabilities.inputs_bytes_max
        message = (
            f"The input pictures are too large: this provider takes {one // 1_000_000} MB for "
            f"each and {all_of_them // 1_000_000} MB for all."
        )
        raise ProviderError(FailureCode.TOO_LARGE, message, detail=f"{sizes} bytes")
    return tuple(inputs)


async def _open(objects: ObjectStore, key: str, role: InputRole) -> StoredInput:
    try:
        info = await objects.head(key)
    except ObjectNotFound as error:
        message = "An input picture is not there any more: upload it again."
        raise ProviderError(FailureCode.BAD_REQUEST, message, detail=key) from error
    if info.content_type not in INPUT_TYPES:
        message = "An input is not a picture that providers take: send PNG, JPEG or WebP."
        raise ProviderError(FailureCode.BAD_REQUEST, message, detail=info.content_type)
    return StoredInput(
        objects, key, role=role, content_type=info.content_type, size_bytes=info.size_bytes
    )
