"""`/api/auth`: sign-up, log-in, and who am I."""

from typing import Annotated

from fastapi import APIRouter, Depends, status

from libs.runtime.auth import Principal, UserTokens
from libs.runtime.ids import Ids
from services.gateway.api.bodies import LogIn, Session, SignUp, UserBody
from services.gateway.api.callers import Callers
from services.gateway.api.views import user_body
from services.gateway.handlers.accounts import Accounts
from services.gateway.store.accounts import User


def create_router(accounts: Accounts, tokens: UserTokens, ids: Ids, callers: Callers) -> APIRouter:
    """The routes of `/api/auth`."""
    router = APIRouter(prefix="/api/auth", tags=["accounts"])
    Caller = Annotated[Principal, Depends(callers.signed)]  # noqa: N806  # a type, made at start

    def session(user: User) -> Session:
        token = tokens.issue(user.user_id, user.role.value, ids.new())
        return Session(access_token=token, user=user_body(user))

    @router.post("/signup", status_code=status.HTTP_201_CREATED)
    async def sign_up(body: SignUp) -> Session:
        """Register, and be logged in at once."""
        return session(await accounts.sign_up(body.email, body.password, body.display_name))

    @router.post("/login")
    async def log_in(body: LogIn) -> Session:
        """A new token for a registered user."""
        return session(await accounts.log_in(body.email, body.password))

    @router.get("/me")
    async def me(caller: Caller) -> UserBody:
        """The caller, with the credits that are left."""
        return user_body(await accounts.user(caller.user_id))

    return router
