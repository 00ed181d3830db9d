"""`/api/auth`: sign-up, log-in, who am I, another password, and out everywhere."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, status

from libs.runtime.auth import Principal, UserTokens
from libs.runtime.http.bodies import Body
from libs.runtime.ids import Ids
from services.gateway.api.bodies import LogIn, Session, SignUp, UserBody
from services.gateway.api.callers import Callers
from services.gateway.api.views import UserViews
from services.gateway.handlers.accounts import Accounts
from services.gateway.handlers.credentials import LogIns
from services.gateway.handlers.resets import Resets


class ChangePassword(Body):
    current_password: str | None = None
    new_password: str | None = None


class ForgottenPassword(Body):
    email: str | None = None


class ResetPassword(Body):
    token: str | None = None
    new_password: str | None = None


class Said(Body):
    message: str


class Sessions:
    """Opens sessions: what a client gets that has come in."""

    def __init__(self, accounts: Accounts, tokens: UserTokens, ids: Ids, views: UserViews) -> None:
        self._accounts = accounts
        self._tokens = tokens
        self._ids = ids
        self.views = views

    async def open(self, user_id: UUID) -> Session:
        """A new token for a user, with what they are now."""
        user = await self._accounts.user(user_id)
        token = self._tokens.issue(
            user_id, user.role.value, self._ids.new(), session_epoch=user.session_epoch
        )
        return Session(access_token=token, user=self.views.user(user))


def create_router(
    accounts: Accounts, log_ins: LogIns, resets: Resets, sessions: Sessions, callers: Callers
) -> APIRouter:
    """The routes of `/api/auth`."""
    router = APIRouter(prefix="/api/auth", tags=["accounts"])
    Caller = Annotated[Principal, Depends(callers.known)]  # noqa: N806  # a type, made at start
    Person = Annotated[Principal, Depends(callers.even_banned)]  # noqa: N806  # as above

    @router.post("/signup", status_code=status.HTTP_201_CREATED)
    async def sign_up(body: SignUp) -> Session:
        """Register, and be logged in at once."""
        user = await accounts.sign_up(body.email, body.password, body.display_name)
        return await sessions.open(user.user_id)

    @router.post("/login")
    async def log_in(request: Request, body: LogIn) -> Session:
        """A new token for a registered user."""
        return await sessions.open(
            await log_ins.log_in(body.email, body.password, address_of(request))
        )

    @router.get("/me")
    async def me(caller: Caller) -> UserBody:
        """The caller, with the credits that are left."""
        return sessions.views.user(await accounts.user(caller.user_id))

    @router.post("/change-password")
    async def change_password(request: Request, body: ChangePassword, caller: Person) -> Session:
        """Set another password: every log-in ends, this answer brings a new one."""
        await log_ins.change_password(
            caller.user_id, body.current_password, body.new_password, address_of(request)
        )
        return await sessions.open(caller.user_id)

    @router.post("/signout-everywhere", status_code=status.HTTP_204_NO_CONTENT)
    async def sign_out_everywhere(caller: Person) -> None:
        """End every log-in of the caller, this one too, and the streams that they opened."""
        await log_ins.revoke(caller.user_id)

    @router.post("/forgot-password", status_code=status.HTTP_202_ACCEPTED)
    async def forgot_password(request: Request, body: ForgottenPassword) -> Said:
        """Ask for a mail that sets another password; nobody is told whether the e-mail is known."""
        await resets.ask(body.email, address_of(request))
        return Said(message="If this email is registered, a mail is on its way")

    @router.post("/reset-password")
    async def reset_password(body: ResetPassword) -> Said:
        """Set another password by the token of a mail; every log-in ends."""
        await resets.reset(body.token, body.new_password)
        return Said(message="The password is set: log in with it")

    return router


def address_of(request: Request) -> str | None:
    """Where a request comes from; behind a proxy, what that has told the server."""
    return request.client.host if request.client else None
