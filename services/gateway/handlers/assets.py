"""Pictures by value, for clients that cannot follow an address."""

import base64
from typing import Final

import structlog

from libs.events.names import Service
from services.gateway.ports import OwnerCall, Owners, OwnerUnreachableError

INLINE_BYTES_MAX: Final = 20_000_000

logger = structlog.get_logger(__name__)


async def inline(owners: Owners, key: str) -> str | None:
    """A picture in base64. None if it cannot be had now: its address stands beside it anyway."""
    call = OwnerCall(owner=Service.GALLERY, method="GET", target=f"/assets/{key}", headers={})
    content = bytearray()
    try:
        async with owners.call(call) as answer:
            if answer.status != 200:
                logger.warning("asset_not_inlined", status=answer.status)
                return None
            async for chunk in answer.chunks():
                content += chunk
                if len(content) > INLINE_BYTES_MAX:
                    logger.warning("asset_not_inlined", reason="too large")
                    return None
    except OwnerUnreachableError:
        logger.warning("asset_not_inlined", reason="gallery does not answer")
        return None
    return base64.b64encode(content).decode()
