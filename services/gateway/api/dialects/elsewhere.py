"""Routes that clients of other times know, and that lead nowhere here: they say so."""

from typing import Annotated, Final, NoReturn

from fastapi import APIRouter, Depends

from libs.runtime.auth import Principal
from services.gateway.api.callers import Callers
from services.gateway.handlers.errors import NotOffered

_PICTURES: Final = "ask for pictures at /api/image/{provider}"
_FILMS: Final = "ask for films at /api/video/{provider}"

# Address, methods, and what to do instead.
KNOWN: Final = (
    ("/api/chatgpt-image", "POST", _PICTURES),
    ("/api/chatgpt-image/edit", "POST", "send an edit to /v1/images/edits"),
    ("/api/generate-image", "POST", _PICTURES),
    ("/api/runway/image", "POST", _PICTURES),
    ("/api/reve/generate", "POST", _PICTURES),
    ("/api/reve/edit", "POST", _PICTURES),
    ("/api/reve/remix", "POST", _PICTURES),
    ("/api/reve/jobs/{job_id}", "GET", "ask for the job at /api/jobs/{id}"),
    ("/api/luma/image", "GET POST", _PICTURES),
    ("/api/luma/video", "GET POST", _FILMS),
    ("/api/unified-video", "GET POST", _FILMS),
    ("/api/scene/generate", "POST", _PICTURES),
    ("/api/timeline/generate", "POST", _FILMS),
    ("/api/audio/voices", "GET", "there is no sound here"),
    ("/api/audio/voices/clone", "POST", "there is no sound here"),
    ("/api/audio/voices/generate", "POST", "there is no sound here"),
    ("/api/audio/tracks", "GET", "there is no sound here"),
)


def create_router(callers: Callers) -> APIRouter:
    """All of them; who asks must still be known."""
    router = APIRouter(tags=["not offered"])
    for path, methods, instead in KNOWN:
        _add(router, callers, path, methods.split(), instead)
    return router


def _add(router: APIRouter, callers: Callers, path: str, methods: list[str], instead: str) -> None:
    async def refuse(_caller: Annotated[Principal, Depends(callers.known)]) -> NoReturn:
        raise NotOffered(f"This is not offered here: {instead}")

    router.add_api_route(
        path,
        refuse,
        methods=methods,
        name=path,
        summary="Not offered here.",
        response_model=None,
        status_code=501,
        include_in_schema=False,
    )
