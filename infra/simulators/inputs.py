"""What comes with an order: texts and pictures, as JSON or as a form. Pictures must be pictures.

A picture may carry the order's fate in a PNG text called `simulate`, where there is no prompt to
carry it.
"""

import base64
import binascii
import io
from typing import Any

from PIL import Image, UnidentifiedImageError
from starlette.datastructures import UploadFile
from starlette.requests import Request

MARK = "simulate"


class NoPictureError(ValueError):
    """What should be a picture is none."""


class Form:
    """A body's members by name; files as bytes."""

    def __init__(self, texts: dict[str, Any], files: dict[str, list[bytes]]) -> None:
        self.texts = texts
        self.files = files

    def text(self, name: str, otherwise: str = "") -> str:
        return str(self.texts.get(name) or otherwise)

    def number(self, name: str, otherwise: int) -> int:
        """Forms send it as text."""
        text = self.text(name, str(otherwise))
        return int(text) if text.isdecimal() else otherwise

    def pictures(self) -> list[bytes]:
        """All of them."""
        return [each for found in self.files.values() for each in found]

    def told(self) -> dict[str, Any]:
        """For the record of orders: of files their size."""
        sizes = {name: [len(each) for each in found] for name, found in self.files.items()}
        return {**self.texts, **sizes}


async def read_form(request: Request) -> Form:
    """Multipart or JSON."""
    if "multipart" not in request.headers.get("content-type", ""):
        return Form(await read_json(request), {})
    texts: dict[str, Any] = {}
    files: dict[str, list[bytes]] = {}
    async with request.form() as form:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                files.setdefault(name, []).append(await value.read())
            else:
                texts[name] = value
    return Form(texts, files)


async def read_json(request: Request) -> dict[str, Any]:
    """The body's object, an empty one if it is none."""
    try:
        body = await request.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def decoded(text: object, *, is_data_url: bool = False) -> bytes:
    """The bytes of base64.

    Raises:
        NoPictureError: it is none, or has a prefix where none belongs.
    """
    head, comma, data = str(text).partition(",")
    if bool(comma) is not is_data_url or (comma and not head.startswith("data:image/")):
        raise NoPictureError("a data URL where base64 should be, or the other way round")
    try:
        return base64.b64decode(data if comma else head, validate=True)
    except binascii.Error as error:
        raise NoPictureError(str(error)) from error


def marks_of(picture: bytes) -> str:
    """The fate that a picture carries.

    Raises:
        NoPictureError: it is no picture.
    """
    try:
        with Image.open(io.BytesIO(picture)) as opened:
            opened.load()
            return str(opened.info.get(MARK, ""))
    except (UnidentifiedImageError, OSError, ValueError) as error:
        raise NoPictureError("no picture") from error
