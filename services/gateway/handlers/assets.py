"""Pictures by value, for clients that cannot follow an address."""

import base64
import re
from typing import Final

import structlog
from msgspec import Struct

from libs.events.names import Service
from libs.runtime.errors import DomainError
from services.gateway.handlers.errors import AssetNotFound, AssetTooLarge, OwnerUnavailable
from services.gateway.ports import OwnerCall, Owners, OwnerUnreachableError

INLINE_BYTES_MAX: Final = 20_000_000
# Parts that begin with a dot would lead to other routes.
_NAME: Final = re.compile(r"(?:[\w-][\w.-]*/)*[\w-][\w.-]*(?:\?[\w=&-]*)?", re.ASCII)

logger = structlog.get_logger(__name__)


class Asset(Struct, frozen=True, kw_only=True):
    """A stored picture, whole."""

    content: bytes
    content_type: str


def call_for(name: str) -> OwnerCall | None:
    """How the gallery is asked for a picture; None if the name leads elsewhere.

    Args:
        name: an object's key, and if it is not public, what the address has behind it.
    """
    if not _NAME.fullmatch(name):
        return None
    return OwnerCall(owner=Service.GALLERY, method="GET", target=f"/assets/{name}", headers={})


async def read_asset(owners: Owners, name: str) -> Asset:
    """A picture from the gallery.

    Args:
        name: as for `call_for`.

    Raises:
        AssetNotFound: there is none. AssetTooLarge: it is not sent by value.
        OwnerUnavailable: the gallery does not answer.
    """
    call = call_for(name)
    if call is None:
        raise AssetNotFound
    content = bytearray()
    try:
        async with owners.call(call) as answer:
            if answer.status != 200:
                raise AssetNotFound
            async for chunk in answer.chunks():
                content += chunk
                if len(content) > INLINE_BYTES_MAX:
                    raise AssetTooLarge(INLINE_BYTES_MAX)
            content_type = answer.headers.get("content-type", "image/png")
    except OwnerUnreachableError as error:
        raise OwnerUnavailable(error.owner) from None
    return Asset(content=bytes(content), content_type=content_type)


async def inline(owners: Owners, name: str) -> str | None:
    """A picture in base64. None if it cannot be had now: its address stands beside it anyway."""
    try:
        asset = await read_asset(owners, name)
    except DomainError as error:
        logger.warning("asset_not_inlined", reason=error.code)
        return None
    return base64.b64encode(asset.content).decode()
