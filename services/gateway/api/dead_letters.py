"""The administrators' way to the dead letters of every service; the gateway's own stay here."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from starlette.responses import StreamingResponse

from libs.events.names import Service
from libs.runtime import deadletters_http
from libs.runtime.auth import InternalTokens, Principal, require_admin
from libs.runtime.deadletters import DeadLetters
from services.gateway.api.callers import Callers
from services.gateway.api.forwarding import forward
from services.gateway.ports import Owners

PREFIX: Final = "/api/admin/dead-letters"
OWNERS: Final = tuple(each for each in Service if each is not Service.GATEWAY)


def create_router(
    letters: DeadLetters, owners: Owners, tokens: InternalTokens, callers: Callers
) -> APIRouter:
    """The gateway's dead letters, and those of each service behind it."""
    router = APIRouter()
    router.include_router(
        deadletters_http.create_router(
            letters, callers.known, prefix=f"{PREFIX}/{Service.GATEWAY.value}"
        )
    )
    for owner in OWNERS:
        router.include_router(_passing_on(owner, owners, tokens, callers))
    return router


def _passing_on(
    owner: Service, owners: Owners, tokens: InternalTokens, callers: Callers
) -> APIRouter:
    router = APIRouter(prefix=f"{PREFIX}/{owner.value}", tags=["dead letters"])
    Admin = Annotated[Principal, Depends(require_admin(callers.known))]  # noqa: N806  # a type

    async def pass_on(request: Request, admin: Principal, path: str) -> StreamingResponse:
        headers = {"authorization": f"Bearer {tokens.issue(admin, owner)}"}
        body = await request.body() if request.method == "POST" else None
        if body is not None:
            headers["content-type"] = "application/json"
        return await forward(
            owners,
            owner,
            request,
            headers,
            path=f"{deadletters_http.INTERNAL_PREFIX}{path}",
            body=body,
        )

    @router.get("", response_class=StreamingResponse)
    async def list_parked(request: Request, admin: Admin) -> StreamingResponse:
        """Open rows, the oldest first."""
        return await pass_on(request, admin, "")

    @router.get("/{parked_id}", response_class=StreamingResponse)
    async def show_parked(request: Request, admin: Admin, parked_id: UUID) -> StreamingResponse:
        """One row with its message."""
        return await pass_on(request, admin, f"/{parked_id}")

    @router.post("/{parked_id}/redrive", response_class=StreamingResponse)
    async def redrive_parked(request: Request, admin: Admin, parked_id: UUID) -> StreamingResponse:
        """Run the consumer's handler again: on this row, then on those behind it."""
        return await pass_on(request, admin, f"/{parked_id}/redrive")

    @router.post("/{parked_id}/discard", response_class=StreamingResponse)
    async def discard_parked(request: Request, admin: Admin, parked_id: UUID) -> StreamingResponse:
        """Give the message up, for a reason; what it was about is finished all the same."""
        return await pass_on(request, admin, f"/{parked_id}/discard")

    return router
