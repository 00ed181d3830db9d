"""One spelling for each JSON value (RFC 8785, JCS), so that it can be hashed and signed.

Numbers are integers: amounts have no fractions here, and so no rounding can ever differ.
"""

from typing import Any

import msgspec

_encoder = msgspec.json.Encoder()


class NotCanonicalError(ValueError):
    """The value, or the text, has no canonical spelling."""


def canonical(value: Any) -> bytes:
    """The one spelling of a JSON value: keys in UTF-16 order, no spaces, UTF-8.

    Raises:
        NotCanonicalError: it holds a fraction, a text that is no Unicode, or what JSON has not.
    """
    try:
        return _encoder.encode(_ordered(value))
    except (UnicodeError, msgspec.MsgspecError, RecursionError) as error:
        raise NotCanonicalError(f"It has no canonical spelling: {error}") from error


def read_canonical(text: bytes) -> Any:
    """The value of a text that must be spelled canonically, byte for byte.

    Raises:
        NotCanonicalError: it is not JSON, or is spelled in another way.
    """
    value = read_json(text)
    if canonical(value) != text:
        raise NotCanonicalError("It is not spelled canonically: a byte was changed or added.")
    return value


def read_json(text: bytes) -> Any:
    """The value of a JSON text in any spelling.

    Raises:
        NotCanonicalError: it is none.
    """
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise NotCanonicalError(f"It is not JSON: {error}") from error


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise NotCanonicalError("A member's name must be a text.")
        return {key: _ordered(value[key]) for key in sorted(value, key=_utf16)}
    if isinstance(value, list | tuple):
        return [_ordered(each) for each in value]
    if value is None or isinstance(value, str | int):
        return value
    raise NotCanonicalError(f"A {type(value).__name__} has no canonical spelling here.")


def _utf16(key: str) -> bytes:
    return key.encode("utf-16-be")
