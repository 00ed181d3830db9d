"""`/api/users/me`: what people show of themselves; and the pictures, for everybody."""

import re
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends
from msgspec import Struct
from starlette.responses import Response

from libs.runtime.auth import Principal
from libs.runtime.http.bodies import Body
from libs.runtime.objects import ObjectNotFound
from services.gateway.api.bodies import UserBody
from services.gateway.api.callers import Callers
from services.gateway.api.views import UserViews
from services.gateway.handlers.accounts import Accounts
from services.gateway.handlers.profiles import CACHE, PREFIX, Profiles

_KEY: Final = re.compile(r"[0-9a-f-]{36}/[0-9a-f]{64}\.(png|jpg|webp|gif)")


class ProfileChange(Body):
    """Only what is sent is changed; null removes it."""

    display_name: str | None = None
    profile_image: str | None = None


class PictureBody(Body):
    base64_data: str | None = None
    mime_type: str | None = None


def create_router(
    accounts: Accounts, profiles: Profiles, views: UserViews, callers: Callers
) -> APIRouter:
    """The routes of profiles."""
    router = APIRouter(prefix="/api/users/me", tags=["accounts"])
    Caller = Annotated[Principal, Depends(callers.person)]  # noqa: N806  # a type, made at start
    EvenBanned = Annotated[Principal, Depends(callers.even_banned)]  # noqa: N806  # as above
    Reader = Annotated[Principal, Depends(callers.known)]  # noqa: N806  # as above
    desk = _Desk(accounts, profiles, views)

    @router.get("")
    async def read_me(caller: Reader) -> UserBody:
        """The caller, as `/api/auth/me`."""
        return await desk.shown(caller)

    @router.post("")
    async def greet_me(caller: EvenBanned) -> UserBody:
        """The same, for clients that say who has signed up at an outside issuer."""
        return await desk.shown(caller)

    @router.patch("")
    async def change_me(body: ProfileChange, caller: Caller) -> UserBody:
        """Change the name, the picture (a data URL), or both."""
        if "profile_image" in body.model_fields_set:
            await desk.show_picture(caller, body.profile_image)
        if "display_name" in body.model_fields_set:
            await profiles.set_name(caller.user_id, body.display_name)
        return await desk.shown(caller)

    @router.post("/profile-picture")
    async def set_picture(body: PictureBody, caller: Caller) -> UserBody:
        """Show another picture, sent as base64 text."""
        await desk.show_picture(caller, body.base64_data or "")
        return await desk.shown(caller)

    @router.post("/remove-profile-picture")
    async def remove_picture(caller: Caller) -> UserBody:
        """Show no picture."""
        await desk.show_picture(caller, None)
        return await desk.shown(caller)

    return router


class _Desk(Struct, frozen=True):
    accounts: Accounts
    profiles: Profiles
    views: UserViews

    async def shown(self, caller: Principal) -> UserBody:
        return self.views.user(await self.accounts.user(caller.user_id))

    async def show_picture(self, caller: Principal, text: str | None) -> None:
        if text is None:
            await self.profiles.remove_picture(caller.user_id)
        elif text != self.views.picture(await self.accounts.user(caller.user_id)):
            await self.profiles.set_picture(caller.user_id, text)


def pictures_router(profiles: Profiles) -> APIRouter:
    """The pictures, for everybody: their address is all that is needed."""
    router = APIRouter(tags=["accounts"])

    @router.get("/profile-pictures/{key:path}", response_class=Response, responses=_PICTURE)
    async def read_picture(key: str) -> Response:
        """Somebody's picture."""
        if not _KEY.fullmatch(key):
            raise ObjectNotFound(key)
        async with profiles.objects.open(PREFIX + key) as body:
            content = await body.read()
        headers = {"Cache-Control": CACHE, "X-Content-Type-Options": "nosniff"}
        return Response(content, media_type=body.info.content_type, headers=headers)

    return router


_PICTURE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}}
}
