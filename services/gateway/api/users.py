"""`DELETE` of users: by themselves, or by an administrator."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, status

from libs.runtime.auth import Principal, require_admin
from libs.runtime.http.bodies import Body
from services.gateway.api.accounts import address_of
from services.gateway.api.callers import Callers
from services.gateway.handlers.accounts import Accounts
from services.gateway.handlers.credentials import LogIns


class Confirmation(Body):
    password: str | None = None


def create_router(accounts: Accounts, log_ins: LogIns, callers: Callers) -> APIRouter:
    """The routes that erase a person."""
    router = APIRouter(prefix="/api", tags=["accounts"])
    Caller = Annotated[Principal, Depends(callers.even_banned)]  # noqa: N806  # a type
    Admin = Annotated[Principal, Depends(require_admin(callers.person))]  # noqa: N806  # as above

    @router.delete("/users/me", status_code=status.HTTP_204_NO_CONTENT)
    async def erase_me(request: Request, caller: Caller, body: Confirmation | None = None) -> None:
        """Forget the caller: log-in, pictures and words, for ever. Their password is asked for."""
        password = body.password if body else None
        await log_ins.confirm(caller.user_id, password, address_of(request))
        await accounts.erase(caller.user_id, actor=caller.user_id)

    @router.delete("/admin/users/{user_id}", status_code=status.HTTP_204_NO_CONTENT)
    async def erase_user(user_id: UUID, admin: Admin) -> None:
        """Forget somebody: log-in, pictures and words, for ever."""
        await accounts.erase(user_id, actor=admin.user_id)

    return router
