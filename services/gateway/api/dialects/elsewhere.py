"""Routes that clients of other times know, and that lead nowhere here: they say so."""

from typing import Final, NoReturn

from fastapi import APIRouter, Depends
from fastapi.params import Depends as DependsOn

from services.gateway.api.callers import Callers
from services.gateway.handlers.errors import NotOffered

_PICTURES: Final = "ask for pictures at /api/image/{provider}"
_FILMS: Final = "ask for films at /api/video/{provider}"
_SOUND: Final = "there is no sound here"
_LOG_IN: Final = "log in with an e-mail and a password at /api/auth/login"

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
    ("/api/timeline/{timeline_id}", "GET", _FILMS),
    ("/api/timeline/{timeline_id}/segments/{number}/regenerate", "POST", _FILMS),
    ("/api/timeline/{timeline_id}/segments/{number}/revert", "POST", _FILMS),
    ("/api/timeline/{timeline_id}/stitch", "POST", _FILMS),
    ("/api/audio/voices", "GET", _SOUND),
    ("/api/audio/voices/clone", "POST", _SOUND),
    ("/api/audio/voices/generate", "POST", _SOUND),
    ("/api/audio/pvc/create", "POST", _SOUND),
    ("/api/audio/pvc/verify", "POST", _SOUND),
    ("/api/audio/upload-recording", "POST", _SOUND),
    ("/api/audio/tracks", "GET", _SOUND),
    ("/api/audio/tracks/user", "POST", _SOUND),
    ("/api/auth/signout", "POST", "forget the token, or end all log-ins at signout-everywhere"),
    ("/api/users/by-username/{name}", "GET", "people have no names of their own here"),
)


# The same for ways to come in, where nobody is known yet.
WAYS_IN: Final = (
    ("/api/auth/dev-login", "POST", _LOG_IN),
    ("/api/auth/magic-link", "POST", _LOG_IN),
    ("/api/auth/google", "GET POST", _LOG_IN),
)


def create_router(callers: Callers) -> APIRouter:
    """All of them; who asks must still be known, save for the ways in."""
    router = APIRouter(tags=["not offered"])
    known = [Depends(callers.known)]
    for path, methods, instead in KNOWN:
        _add(router, path, methods.split(), instead, known)
    for path, methods, instead in WAYS_IN:
        _add(router, path, methods.split(), instead, [])
    return router


def _add(
    router: APIRouter, path: str, methods: list[str], instead: str, known: list[DependsOn]
) -> None:
    async def refuse() -> NoReturn:
        raise NotOffered(f"This is not offered here: {instead}")

    router.add_api_route(
        path,
        refuse,
        methods=methods,
        dependencies=known,
        name=path,
        summary="Not offered here.",
        response_model=None,
        status_code=501,
        include_in_schema=False,
    )
