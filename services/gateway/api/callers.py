"""Who is calling: dependencies for routes, in six strengths.

A caller comes with a log-in, ours or an outside issuer's, or with an API key; to a stream, also
with a ticket.
"""

from collections.abc import Callable
from typing import Annotated, Final
from uuid import UUID

from fastapi import Depends, Query, Request
from fastapi.security import HTTPBearer
from msgspec import Struct
from msgspec.structs import replace
from starlette.requests import HTTPConnection
from structlog.contextvars import bind_contextvars

from libs.runtime.auth import FindPrincipal, Principal, RequirePrincipal, UserTokens, bearer_of
from libs.runtime.errors import Unauthorized
from services.gateway.domain.api_keys import PREFIX, Scope
from services.gateway.handlers.accounts import Accounts
from services.gateway.handlers.api_keys import ApiKeys
from services.gateway.handlers.errors import LogInNeeded, ScopeMissing, UserBanned
from services.gateway.handlers.flood import FloodGate
from services.gateway.handlers.outside import OutsideLogIns
from services.gateway.handlers.tickets import StreamTickets
from services.gateway.store.accounts import Rights

_READING: Final = frozenset({"GET", "HEAD"})


class Callers(Struct, frozen=True, kw_only=True):
    """How much a route wants to know.

    `costing`: the admission will look at user, key and log-in. `known` has looked: the user is
    there, key or log-in were not revoked, and who is banned does but read. `person` is the same,
    and takes no API key; `even_banned` too, and lets in who is banned: for what takes from them
    alone, or reads by POST.
    `maybe` is `known` for who is, and None for everybody else. `listener` is `known`, by a ticket
    for this very stream if one is shown.
    A key needs the scope `read` to read and `generate` for everything else.
    """

    costing: RequirePrincipal
    known: RequirePrincipal
    person: RequirePrincipal
    even_banned: RequirePrincipal
    maybe: FindPrincipal
    listener: RequirePrincipal


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
        outside: OutsideLogIns | None = None,
        *,
        tickets: StreamTickets,
    ) -> None:
        super().__init__(auto_error=False, bearerFormat="JWT", scheme_name="bearer")
        self._tokens = tokens
        self._keys = keys
        self._gate = gate
        self._note_use = note_use
        self._outside = outside
        self._tickets = tickets

    # The caller and not, as the base class would, their token.
    async def __call__(self, request: Request) -> Principal:  # type: ignore[override]
        """Who calls.

        Raises:
            Unauthorized: nobody we know. ScopeMissing: a key that may not do this.
            Flooded: they call too often.
        """
        return await self.of(request, Scope.READ if request.method in _READING else Scope.GENERATE)

    async def of(self, connection: HTTPConnection, scope: Scope) -> Principal:
        """Who has sent this; an API key must have the scope."""
        token = bearer_of(connection.headers.get("authorization"))
        principal = self._let_in(await self._principal(token))
        if principal.scopes is not None and principal.api_key_id is not None:
            bind_contextvars(api_key_id=str(principal.api_key_id))
            if scope.value not in principal.scopes:
                raise ScopeMissing(scope.value)
            self._note_use(principal.api_key_id)
        return principal

    async def with_ticket(self, connection: HTTPConnection, ticket: str) -> Principal:
        """Who has asked for the ticket of this stream."""
        return self._let_in(await self._tickets.redeem(ticket, connection.scope["path"]))

    def _let_in(self, principal: Principal) -> Principal:
        bind_contextvars(user_id=str(principal.user_id))
        self._gate.pass_one(principal.api_key_id or principal.user_id)
        return principal

    async def _principal(self, token: str) -> Principal:
        if token.startswith(PREFIX):
            return await self._keys.verify(token)
        if self._outside is not None and self._outside.has_issued(token):
            return await self._outside.verify(token)
        return self._tokens.verify(token)


def create_callers(bearers: Bearers, accounts: Accounts) -> Callers:
    """The dependencies of a gateway."""
    Bearer = Annotated[Principal, Depends(bearers)]  # noqa: N806  # a type, made at start

    async def known(request: Request, principal: Bearer) -> Principal:
        rights = await accounts.rights(principal)
        if rights.is_banned and request.method not in _READING:
            raise UserBanned
        return _with_role(principal, rights)

    async def person(request: Request, principal: Bearer) -> Principal:
        if principal.scopes is not None:
            raise LogInNeeded
        return await known(request, principal)

    async def even_banned(principal: Bearer) -> Principal:
        if principal.scopes is not None:
            raise LogInNeeded
        return _with_role(principal, await accounts.rights(principal))

    async def maybe(request: Request) -> Principal | None:
        try:
            return await known(request, await bearers(request))
        except (Unauthorized, ScopeMissing):  # a bearer that is good for nothing here is nobody's
            return None

    return Callers(
        costing=bearers,
        known=known,
        person=person,
        even_banned=even_banned,
        maybe=maybe,
        listener=_listener(bearers, accounts),
    )


def _listener(bearers: Bearers, accounts: Accounts) -> RequirePrincipal:
    async def listener(
        connection: HTTPConnection,
        ticket: Annotated[
            str | None, Query(description="In place of a bearer, from `/api/stream-tickets`.")
        ] = None,
    ) -> Principal:
        if ticket is None:
            principal = await bearers.of(connection, Scope.READ)
        else:
            principal = await bearers.with_ticket(connection, ticket)
        if (await accounts.rights(principal)).is_banned:
            raise UserBanned
        return principal

    return listener


def _with_role(principal: Principal, rights: Rights) -> Principal:
    """With the role of now, which no API key has."""
    if principal.scopes is not None:
        return principal
    return replace(principal, role=rights.role.value)
