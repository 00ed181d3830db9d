"""What may be uploaded, and what its name may be. The content decides its type, never a header."""

import re
from typing import Final
from uuid import UUID

from msgspec import Struct

PREFIX: Final = "uploads/"
PROFILE: Final = "profile"  # the purpose of a picture of oneself: shown to all, listed for none
UPLOAD_BYTES_MAX: Final = 50_000_000
SIDE_PIXELS_MAX: Final = 16_384
PIXELS_MAX: Final = 100_000_000
NAME_CHARACTERS_MAX: Final = 200

TYPES: Final = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/jpg": "jpg",
    "image/webp": "webp",
    "image/gif": "gif",
}
_BAD_IN_NAMES: Final = re.compile(r"[/\\:\x00-\x1f\x7f\ud800-\udfff]")


class NameRefusedError(ValueError):
    """A file name that is more than a name."""


class Described(Struct, frozen=True, kw_only=True, gc=False):
    """What a client says of its upload."""

    purpose: str = "upload"
    file_name: str = ""
    prompt: str = ""
    model: str = ""


def plain_name(name: str) -> str:
    """A file's name as it may be shown and saved.

    Raises:
        NameRefusedError: it leads somewhere.
    """
    name = name.strip()
    if len(name) > NAME_CHARACTERS_MAX or _BAD_IN_NAMES.search(name) or name in {".", ".."}:
        raise NameRefusedError("fileName must be a plain name of at most 200 characters.")
    return name


def extension_of(content_type: str) -> str | None:
    """The extension for a type that may be uploaded; None for any other."""
    return TYPES.get(content_type.partition(";")[0].strip().lower())


def key_of(item_id: UUID, extension: str) -> str:
    """Each upload is an object of its own: equal pictures of two people share nothing."""
    return f"{PREFIX}{item_id}.{extension}"
