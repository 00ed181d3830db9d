"""Who is calling: dependencies for routes, in two strengths."""

from typing import Annotated

from fastapi import Depends
from msgspec import Struct
from msgspec.structs import replace

from libs.runtime.auth import Principal, RequirePrincipal, UserTokens, require_principal
from services.gateway.handlers.accounts import Accounts
from services.gateway.handlers.flood import FloodGate


class Callers(Struct, frozen=True, kw_only=True):
    """`signed` trusts the token, where the route itself looks for the user; `known` has looked."""

    signed: RequirePrincipal
    known: RequirePrincipal


def create_callers(tokens: UserTokens, accounts: Accounts, gate: FloodGate) -> Callers:
    """The dependencies of a gateway."""
    bearer = require_principal(tokens.verify)

    async def signed(principal: Annotated[Principal, Depends(bearer)]) -> Principal:
        gate.pass_one(principal.user_id)
        return principal

    async def known(principal: Annotated[Principal, Depends(signed)]) -> Principal:
        role = await accounts.role(principal.user_id)
        return replace(principal, role=role.value)

    return Callers(signed=signed, known=known)
