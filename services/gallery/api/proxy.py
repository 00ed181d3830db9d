"""Assets by their whole address, for pages that may read this host alone: ours, and no others."""

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request
from starlette.responses import Response

from libs.runtime.auth import Principal, RequirePrincipal
from libs.runtime.errors import Forbidden
from services.gallery.api.assets import Shown, response_of
from services.gallery.api.bodies import URL_CHARACTERS_MAX, Addresses
from services.gallery.domain.delivery import Conditions, decide_delivery
from services.gallery.ports import AssetSource


class AddressOutside(Forbidden):
    """Nothing is fetched for anybody: what is not in our own storage is not served."""

    code = "address_outside"

    def __init__(self) -> None:
        super().__init__("Only addresses of this gallery are served: upload the picture first.")


def create_router(
    shown: Shown, source: AssetSource, addresses: Addresses, principal_of: RequirePrincipal
) -> APIRouter:
    """`/api/r2files/proxy`."""
    router = APIRouter(prefix="/api/r2files/proxy", tags=["gallery"])

    @router.get("", response_class=Response)
    async def pass_asset(
        request: Request,
        caller: Annotated[Principal, Depends(principal_of)],
        url: Annotated[str, Query(min_length=1, max_length=URL_CHARACTERS_MAX)],
        if_none_match: Annotated[str | None, Header()] = None,
        range_: Annotated[str | None, Header(alias="Range")] = None,
    ) -> Response:
        """The asset behind an address of ours, cached as long as the asset itself."""
        key = addresses.key(url)
        if not key:
            raise AddressOutside
        found = await shown.find(key, *addresses.signature(url), viewer_id=caller.user_id)
        conditions = Conditions(if_none_match=if_none_match, range=range_)
        answer = decide_delivery(found.asset, conditions, is_public=found.is_public)
        return response_of(request, source, found.asset, answer)

    return router
