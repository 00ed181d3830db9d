"""Who is calling, by a log-in or an API key: dependencies for routes, in five strengths."""

from collections.abc import Callable
from typing import Annotated, Final
from uuid import UUID

from fastapi import Depends, Request
from fastapi.security import HTTPBearer
from msgspec import Struct
from msgspec.structs import replace
from structlog.contextvars import bind_contextvars

from libs.runtime.auth import FindPrincipal, Principal, RequirePrincipal, UserTokens, bearer_of
from libs.runtime.errors import Unauthorized
from services.gateway.domain.api_keys import PREFIX, Scope
from services.gateway.handlers.accounts import Accounts
from services.gateway.handlers.api_keys import ApiKeys
from services.gateway.handlers.errors import LogInNeeded, ScopeMissing
from services.gateway.handlers.flood import FloodGate

_READING: Final = frozenset({"GET", "HEAD"})


class Callers(Struct, frozen=True, kw_only=True):
    """How much a route wants to know.

    `costing`: the admission will look at user and key. `signed` trusts a log-in, where the route
    itself looks for the user; `known` has looked. `person` has looked, and takes no API key.
    `maybe` is `known` for who is, and None for everybody else.
    A key needs the scope `read` to read and `generate` for everything else.
    """

    costing: RequirePrincipal
    signed: RequirePrincipal
    known: RequirePrincipal
    person: RequirePrincipal
    maybe: FindPrincipal


class Bearers(HTTPBearer):
    """The principal of a request, by the token that it bears.

    One dependency does all of it: each more in a chain was measured to cost as much as the rest.
    """

    def __init__(
        self,
        tokens: UserTokens,
        keys: ApiKeys,
        gate: FloodGate,
        note_use: Callable[[UUID], None],
    ) -> None:
        super().__init__(auto_error=False, bearerFormat="JWT", scheme_name="bearer")
        self._tokens = tokens
        self._keys = keys
        self._gate = gate
        self._note_use = note_use

    # The caller and not, as the base class would, their token.
    async def __call__(self, request: Request) -> Principal:  # type: ignore[override]
        """Who calls.

        Raises:
            Unauthorized: nobody we know. ScopeMissing: a key that may not do this.
            Flooded: they call too often.
        """
        token = bearer_of(request.headers.get("authorization"))
        is_key = token.startswith(PREFIX)
        principal = await self._keys.verify(token) if is_key else self._tokens.verify(token)
        bind_contextvars(user_id=str(principal.user_id))
        self._gate.pass_one(principal.api_key_id or principal.user_id)
        if principal.scopes is not None and principal.api_key_id is not None:
            bind_contextvars(api_key_id=str(principal.api_key_id))
            scope = Scope.READ if request.method in _READING else Scope.GENERATE
            if scope.value not in principal.scopes:
                raise ScopeMissing(scope.value)
            self._note_use(principal.api_key_id)
        return principal


def create_callers(bearers: Bearers, accounts: Accounts) -> Callers:
    """The dependencies of a gateway."""
    Bearer = Annotated[Principal, Depends(bearers)]  # noqa: N806  # a type, made at start

    async def known(principal: Bearer) -> Principal:
        role = await accounts.role(principal.user_id, principal.api_key_id)
        return principal if principal.scopes is not None else replace(principal, role=role.value)

    async def signed(principal: Bearer) -> Principal:
        return principal if principal.scopes is None else await known(principal)

    async def person(principal: Bearer) -> Principal:
        if principal.scopes is not None:
            raise LogInNeeded
        return await known(principal)

    async def maybe(request: Request) -> Principal | None:
        try:
            return await known(await bearers(request))
        except Unauthorized:  # a log-in that has ended sees what anybody sees
            return None

    return Callers(costing=bearers, signed=signed, known=known, person=person, maybe=maybe)
