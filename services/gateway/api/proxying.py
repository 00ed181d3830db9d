"""`/api/upload/proxy-image`: a picture of another host, for a page that may not read that host."""

import base64
from typing import Annotated, Final

from fastapi import APIRouter, Depends
from pydantic import Field

from libs.events.generation import InputRole
from libs.runtime.auth import Principal
from libs.runtime.http.bodies import Body
from services.gateway.api.callers import Callers
from services.gateway.domain.inputs import Given
from services.gateway.handlers.inputs import Inputs

URL_CHARACTERS_MAX: Final = 2_048
# As text it is a third more, and all of it is held.
BYTES_MAX: Final = 20_000_000


class ProxyRequest(Body):
    url: Annotated[str, Field(pattern=r"^[Hh][Tt][Tt][Pp][Ss]?://", max_length=URL_CHARACTERS_MAX)]


class ProxyAnswer(Body):
    """The picture as a data URL, made for this answer alone."""

    success: bool = True
    data_url: str


def create_router(inputs: Inputs, callers: Callers) -> APIRouter:
    """What is fetched is guarded as the references of a request are, and must be a picture."""
    router = APIRouter(prefix="/api/upload", tags=["gallery"])
    Caller = Annotated[Principal, Depends(callers.known)]  # noqa: N806  # a type, made at start

    @router.post("/proxy-image")
    async def proxy_image(body: ProxyRequest, caller: Caller) -> ProxyAnswer:
        """A picture behind a public address, as a data URL."""
        given = Given(field="url", role=InputRole.REFERENCE, content=body.url)
        shown = await inputs.show(given, caller.user_id, bytes_max=BYTES_MAX)
        text = base64.b64encode(shown.content).decode()
        return ProxyAnswer(data_url=f"data:{shown.content_type};base64,{text}")

    return router
