"""Bodies of calls that carry pictures: JSON or multipart, read from storage as they are sent.

A picture in a body is never held: its place in the text is known, so is its length, and its bytes
are read, and encoded where JSON wants base64, while the connection takes them.
"""

import binascii
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import uuid4

import msgspec
from msgspec import Struct

from libs.events.media import extension_of
from services.generation.ports import ByteStream, Input

BATCH_BYTES = 48 * 1024  # a multiple of 3: base64 has no padding before its end


class ChangedError(Exception):
    """An input is not as long as it was when the call began."""


class Upload:
    """A place in a body where an input picture stands."""

    def __init__(self, source: Input, *, before: str = "", is_base64: bool = True) -> None:
        self._source = source
        self._before = before.encode()
        self._is_base64 = is_base64

    @property
    def length(self) -> int:
        size = self._source.size_bytes
        return len(self._before) + (-(-size // 3) * 4 if self._is_base64 else size)

    async def chunks(self) -> AsyncIterator[bytes]:
        """As it stands in the body.

        Raises:
            ChangedError: it has become longer or shorter.
        """
        if self._before:
            yield self._before
        seen, waiting = 0, bytearray()
        async for chunk in self._source.stream():
            seen += len(chunk)
            if not self._is_base64:
                yield chunk
                continue
            waiting += chunk
            while len(waiting) >= BATCH_BYTES:
                yield binascii.b2a_base64(waiting[:BATCH_BYTES], newline=False)
                del waiting[:BATCH_BYTES]
        if waiting:
            yield binascii.b2a_base64(waiting, newline=False)
        if seen != self._source.size_bytes:
            raise ChangedError(f"{seen} bytes instead of {self._source.size_bytes}")


class FilePart(Struct, frozen=True):
    """A picture as a part of a multipart body."""

    source: Input

    @property
    def filename(self) -> str:
        return f"{self.source.role.value}.{extension_of(self.source.content_type)}"


class JsonPart(Struct, frozen=True):
    """A part of a multipart body that is JSON."""

    value: Any


Field = tuple[str, str | FilePart | JsonPart]


class Body:
    """What is sent: texts and uploads, of a length that is known before."""

    def __init__(self, content_type: str, pieces: Sequence[bytes | Upload]) -> None:
        self.content_type = content_type
        self._pieces = pieces
        self.length = sum(each.length if isinstance(each, Upload) else len(each) for each in pieces)

    @property
    def whole(self) -> bytes | None:
        """All of it, if nothing in it is to be read."""
        texts = [each for each in self._pieces if isinstance(each, bytes)]
        return b"".join(texts) if len(texts) == len(self._pieces) else None

    def chunks(self) -> ByteStream:
        """Its bytes, from the start; as often as it takes."""
        return self._chunks()

    async def _chunks(self) -> AsyncIterator[bytes]:
        for each in self._pieces:
            if isinstance(each, Upload):
                async for chunk in each.chunks():
                    yield chunk
            else:
                yield each


def base64_of(source: Input) -> Upload:
    """For a place in JSON: bare base64."""
    return Upload(source)


def data_url_of(source: Input) -> Upload:
    """For a place in JSON: a data URL."""
    return Upload(source, before=f"data:{source.content_type};base64,")


def json_body(value: Any) -> Body:
    """JSON with an `Upload` wherever a picture is to stand."""
    uploads: list[Upload] = []
    mark = f"\ue000{uuid4().hex}:"

    def place(found: object) -> str:
        if not isinstance(found, Upload):
            raise TypeError(f"not for JSON: {type(found).__name__}")
        uploads.append(found)
        return mark

    texts = msgspec.json.encode(value, enc_hook=place).split(mark.encode())
    pieces: list[bytes | Upload] = [texts[0]]
    for upload, text in zip(uploads, texts[1:], strict=True):
        pieces += [upload, text]
    return Body("application/json", pieces)


def form_body(fields: Sequence[Field]) -> Body:
    """A multipart body (RFC 7578)."""
    boundary = uuid4().hex
    pieces: list[bytes | Upload] = []
    for name, value in fields:
        disposition = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"'
        if isinstance(value, FilePart):
            kind = f'; filename="{value.filename}"\r\nContent-Type: {value.source.content_type}'
            pieces += [f"{disposition}{kind}\r\n\r\n".encode()]
            pieces += [Upload(value.source, is_base64=False), b"\r\n"]
        elif isinstance(value, JsonPart):
            text = msgspec.json.encode(value.value)
            kind = "\r\nContent-Type: application/json"
            pieces.append(f"{disposition}{kind}\r\n\r\n".encode() + text + b"\r\n")
        else:
            pieces.append(f"{disposition}\r\n\r\n{value}\r\n".encode())
    pieces.append(f"--{boundary}--\r\n".encode())
    return Body(f"multipart/form-data; boundary={boundary}", pieces)
