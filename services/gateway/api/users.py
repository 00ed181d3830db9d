"""`DELETE` of users: by themselves, or by an administrator."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, status

from libs.runtime.auth import Principal, require_admin
from services.gateway.api.callers import Callers
from services.gateway.handlers.accounts import Accounts


def create_router(accounts: Accounts, callers: Callers) -> APIRouter:
    """The routes that erase a person."""
    router = APIRouter(prefix="/api", tags=["accounts"])
    Caller = Annotated[Principal, Depends(callers.person)]  # noqa: N806  # a type, made at start
    Admin = Annotated[Principal, Depends(require_admin(callers.known))]  # noqa: N806  # as above

    @router.delete("/users/me", status_code=status.HTTP_204_NO_CONTENT)
    async def erase_me(caller: Caller) -> None:
        """Forget the caller: log-in, pictures and words, for ever."""
        await accounts.erase(caller.user_id, actor=caller.user_id)

    @router.delete("/admin/users/{user_id}", status_code=status.HTTP_204_NO_CONTENT)
    async def erase_user(user_id: UUID, admin: Admin) -> None:
        """Forget somebody: log-in, pictures and words, for ever."""
        await accounts.erase(user_id, actor=admin.user_id)

    return router
