"""Pictures by value, for clients that cannot follow an address."""

import base64
from typing import Final

import structlog
from msgspec import Struct

from libs.events.names import Service
from libs.runtime.errors import DomainError
from services.gateway.handlers.errors import AssetNotFound, AssetTooLarge, OwnerUnavailable
from services.gateway.ports import OwnerCall, Owners, OwnerUnreachableError

INLINE_BYTES_MAX: Final = 20_000_000

logger = structlog.get_logger(__name__)


class Asset(Struct, frozen=True, kw_only=True):
    """A stored picture, whole."""

    content: bytes
    content_type: str


async def read_asset(owners: Owners, key: str) -> Asset:
    """A picture from the gallery.

    Raises:
        AssetNotFound: there is none. AssetTooLarge: it is not sent by value.
        OwnerUnavailable: the gallery does not answer.
    """
    call = OwnerCall(owner=Service.GALLERY, method="GET", target=f"/assets/{key}", headers={})
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


async def inline(owners: Owners, key: str) -> str | None:
    """A picture in base64. None if it cannot be had now: its address stands beside it anyway."""
    try:
        asset = await read_asset(owners, key)
    except DomainError as error:
        logger.warning("asset_not_inlined", reason=error.code)
        return None
    return base64.b64encode(asset.content).decode()
