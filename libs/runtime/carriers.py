"""Reads JSON that carries pictures: long strings go to a file, the rest is read as usual.

A picture in JSON is base64 text of tens of megabytes. It is never held: its text is written to a
file without a name as it comes, and decoded from there in chunks when it is wanted.
"""

import asyncio
import binascii
import os
import re
import tempfile
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec

LONG_BYTES = 8 * 1024
SKELETON_BYTES_MAX = 4 * 1024 * 1024
STEP_BYTES = 64 * 1024

_ESCAPE = re.compile(rb"\\(u[0-9a-fA-F]{4}|.?)", re.DOTALL)
_PLAIN = {b"/": b"/", b"\\": b"\\", b'"': b'"', b"n": b"\n", b"r": b"\r", b"t": b"\t"}
_BLANKS = b" \t\r\n"
_MARK = "\ue000carrier:"


class UnreadableError(ValueError):
    """The text is no JSON, or a string in it is not what it should be."""


class Spool:
    """A file without a name, gone with the last one who refers to it."""

    def __init__(self) -> None:
        self._descriptor, path = tempfile.mkstemp(prefix="daygen-")
        os.unlink(path)  # noqa: PTH108  # the descriptor is all that is left of it
        self.length = 0

    def append(self, content: bytes | bytearray) -> None:
        view = memoryview(content)
        while view:
            written = os.write(self._descriptor, view)
            self.length += written
            view = view[written:]

    def read(self, place: int, size: int) -> bytes:
        return os.pread(self._descriptor, size, place)

    def __del__(self) -> None:
        os.close(self._descriptor)


class Carrier:
    """A long string of a JSON text, as it lies in a file."""

    def __init__(self, spool: Spool, start: int, length: int) -> None:
        self._spool = spool
        self._start = start
        self.length = length

    def pieces(self) -> Iterator[bytes]:
        """Its text as ASCII, a piece at a time; no escape is cut in two.

        Raises:
            UnreadableError: it holds an escape that base64 has no use for.
        """
        place, end = self._start, self._start + self.length
        rest = b""
        while place < end:
            raw = rest + self._spool.read(place, min(STEP_BYTES, end - place))
            place += len(raw) - len(rest)
            rest = b""
            if b"\\" in raw:
                raw, rest = _split_at_escape(raw) if place < end else (raw, b"")
                raw = _unescaped(raw)
            yield raw


async def decoded(value: object) -> AsyncIterator[bytes]:
    """The bytes of a base64 string or carrier, also one that is a data URL, in chunks.

    Raises:
        UnreadableError: it is no base64.
    """
    if isinstance(value, Carrier):
        pieces = value.pieces()
    elif isinstance(value, str):
        # Half a character, which JSON allows, cannot be encoded: it is no base64, like all else.
        pieces = iter((value.encode(errors="replace"),))
    else:
        raise UnreadableError("no picture where one should be")
    waiting = b""
    is_first = True
    for piece in pieces:
        text = waiting + piece.translate(None, _BLANKS)  # some senders break lines
        if is_first and text.startswith(b"data:"):
            text = text.partition(b",")[2]
        is_first = False
        whole = len(text) - len(text) % 4
        waiting = text[whole:]
        yield _base64(text[:whole])
        await asyncio.sleep(0)  # others have their turn: this is work of the processor alone
    if waiting:
        yield _base64(waiting + b"=" * (-len(waiting) % 4))


def _base64(text: bytes) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error as error:
        raise UnreadableError(f"no base64: {error}") from error


class JsonReader:
    """Takes a JSON text in chunks."""

    def __init__(self, long_bytes: int = LONG_BYTES) -> None:
        self._long_bytes = long_bytes
        self._skeleton = bytearray()
        self._spool: Spool | None = None
        self._carriers: list[Carrier] = []
        self._string: bytearray | None = None  # the string that we are in, while it is short
        self._start = -1  # where it begins in the spool, once it is long
        self._is_escaped = False

    def feed(self, chunk: bytes) -> None:
        """Read on.

        Raises:
            UnreadableError: what is not pictures is too much.
        """
        place = 0
        while place < len(chunk):
            if self._string is None:
                quote = chunk.find(b'"', place)
                end = len(chunk) if quote < 0 else quote + 1
                self._skeleton += chunk[place:end]
                self._string = None if quote < 0 else bytearray()
            else:
                quote = self._closing_quote(chunk, place)
                end = len(chunk) if quote < 0 else quote
                self._take(chunk[place:end])
                if quote >= 0:
                    self._close_string()
                    end += 1
            place = end
        if len(self._skeleton) > SKELETON_BYTES_MAX:
            raise UnreadableError("too much that is no picture")

    def close(self) -> Any:
        """The value, with a `Carrier` for each long string.

        Raises:
            UnreadableError: it is no JSON, or cut off.
        """
        try:
            value = msgspec.json.decode(self._skeleton)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UnreadableError(f"no JSON: {error}") from error
        return self._with_carriers(value) if self._carriers else value

    def _closing_quote(self, chunk: bytes, place: int) -> int:
        if self._is_escaped:
            self._is_escaped = False
            place += 1
        while True:
            quote = chunk.find(b'"', place)
            escape = chunk.find(b"\\", place, quote if quote >= 0 else len(chunk))
            if escape < 0:
                return quote
            place = escape + 2
            if place > len(chunk):
                self._is_escaped = True
                return -1

    def _take(self, piece: bytes) -> None:
        assert self._string is not None  # noqa: S101  # we are in one
        if self._start < 0:
            self._string += piece
            if len(self._string) > self._long_bytes:
                self._spool = self._spool or Spool()
                self._start = self._spool.length
                self._spool.append(self._string)
        elif self._spool is not None:
            self._spool.append(piece)

    def _close_string(self) -> None:
        assert self._string is not None  # noqa: S101  # we are in one
        if self._start < 0 or self._spool is None:
            self._skeleton += self._string
        else:
            carrier = Carrier(self._spool, self._start, self._spool.length - self._start)
            self._skeleton += f"{_MARK}{len(self._carriers)}".encode()
            self._carriers.append(carrier)
        self._skeleton += b'"'
        self._string = None
        self._start = -1

    def _with_carriers(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._with_carriers(each) for name, each in value.items()}
        if isinstance(value, list):
            return [self._with_carriers(each) for each in value]
        if isinstance(value, str) and value.startswith(_MARK):
            number = value.removeprefix(_MARK)
            if number.isdecimal() and int(number) < len(self._carriers):
                return self._carriers[int(number)]
        return value


def _split_at_escape(raw: bytes) -> tuple[bytes, bytes]:
    """Cut before an escape that may not be whole: the longest has six characters."""
    escape = raw.rfind(b"\\", max(0, len(raw) - 6))
    if escape < 0:
        return raw, b""
    while escape > 0 and raw[escape - 1 : escape] == b"\\":
        escape -= 1  # of a row of backslashes the first begins an escape
    return raw[:escape], raw[escape:]


def _unescaped(raw: bytes) -> bytes:
    return _ESCAPE.sub(_character, raw)


def _character(escape: re.Match[bytes]) -> bytes:
    code = escape[1]
    if code in _PLAIN:
        return _PLAIN[code]
    if code[:1] == b"u" and len(code) == 5 and (number := int(code[1:], 16)) < 0x80:
        return bytes([number])
    raise UnreadableError("a long text that is no picture")
