"""Media types that cross borders between services, and how files of each are named."""

from typing import Final

INPUT_TYPES: Final = frozenset({"image/png", "image/jpeg", "image/webp"})
"""Of pictures that a request may bring: what the gateway stores, and providers are sent."""

EXTENSIONS: Final = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/webp": "webp",
    "image/gif": "gif",
    "image/svg+xml": "svg",
    "video/mp4": "mp4",
}
"""Own table: the standard library's answer depends on the machine's files."""


def extension_of(content_type: str) -> str:
    """How the name of such a file ends, without a dot."""
    return EXTENSIONS.get(content_type, "bin")
