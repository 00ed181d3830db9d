"""What clients of an outside issuer call after they have logged in there."""

from fastapi import APIRouter

from libs.runtime.http.bodies import Body
from services.gateway.api.bodies import UserBody
from services.gateway.api.views import UserViews
from services.gateway.handlers.account_errors import NoOutsideLogIns
from services.gateway.handlers.accounts import Accounts
from services.gateway.handlers.outside import OutsideLogIns


class Callback(Body):
    access_token: str = ""

    model_config = Body.model_config | {"alias_generator": None}


class CallbackAnswer(Body):
    user: UserBody


def create_router(outside: OutsideLogIns | None, accounts: Accounts, views: UserViews) -> APIRouter:
    """The route that a browser calls when it comes back from the issuer."""
    router = APIRouter(prefix="/api/auth", tags=["accounts"])

    @router.post("/oauth-callback")
    async def come_back(body: Callback) -> CallbackAnswer:
        """Who has logged in at the issuer; the first time, their account is opened."""
        if outside is None:
            raise NoOutsideLogIns
        caller = await outside.verify(body.access_token)
        return CallbackAnswer(user=views.user(await accounts.user(caller.user_id)))

    return router
