"""`/api/keys`: keys for programs, made and revoked by people."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Response, status
from pydantic import Field

from libs.runtime.auth import Principal
from libs.runtime.http.bodies import Body, StrictBody
from services.gateway.api.callers import Callers
from services.gateway.domain.api_keys import Scope
from services.gateway.domain.limits import OwnPolicy
from services.gateway.domain.orders import INTEGER_MAX
from services.gateway.handlers.api_keys import ApiKeys
from services.gateway.handlers.errors import ApiKeyNotFound
from services.gateway.store.api_keys import ApiKey

PER_MINUTE_MAX = 1_000_000


class NewKey(StrictBody):
    """A key to be made. Its limits come on top of its owner's; without one the default holds."""

    name: str | None = None
    scopes: list[str] = Field(default_factory=lambda: [scope.value for scope in Scope])
    per_minute: int | None = Field(default=None, ge=1, le=PER_MINUTE_MAX)
    credits_per_day: int | None = Field(default=None, ge=0, le=INTEGER_MAX)
    tokens_per_day: int | None = Field(default=None, ge=0, le=INTEGER_MAX)


class KeyBody(Body):
    """A key as its owner sees it. `lastUsedAt` is exact to the minute."""

    id: UUID
    name: str
    scopes: list[str]
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


class CreatedKey(KeyBody):
    """The only answer that has the key itself: keep it, nobody can say it again."""

    key: str


class KeyBodies(Body):
    items: list[KeyBody]


def create_router(keys: ApiKeys, callers: Callers) -> APIRouter:
    """The routes of `/api/keys`."""
    router = APIRouter(prefix="/api/keys", tags=["keys"])
    Caller = Annotated[Principal, Depends(callers.person)]  # noqa: N806  # a type, made at start
    EvenBanned = Annotated[Principal, Depends(callers.even_banned)]  # noqa: N806  # as above

    @router.post("", status_code=status.HTTP_201_CREATED)
    async def create_key(caller: Caller, body: NewKey, response: Response) -> CreatedKey:
        """Make a key. It is shown this once."""
        limit = OwnPolicy(
            per_minute=body.per_minute,
            credits_per_day=body.credits_per_day,
            tokens_per_day=body.tokens_per_day,
        )
        key, written = await keys.create(caller, name=body.name, scopes=body.scopes, limit=limit)
        response.headers["Cache-Control"] = "no-store"
        return CreatedKey(**_body(key).model_dump(), key=written)

    @router.get("")
    async def list_keys(caller: Caller) -> KeyBodies:
        """The caller's keys, the oldest first, revoked ones too."""
        return KeyBodies(items=[_body(key) for key in await keys.all_of(caller.user_id)])

    @router.delete("/{key_id}", status_code=status.HTTP_204_NO_CONTENT)
    async def revoke_key(key_id: str, caller: EvenBanned) -> None:
        """Make a key useless at once. Once more changes nothing."""
        try:
            parsed = UUID(key_id)
        except ValueError:
            raise ApiKeyNotFound from None
        await keys.revoke(parsed, caller)

    return router


def _body(key: ApiKey) -> KeyBody:
    return KeyBody(
        id=key.key_id,
        name=key.name,
        scopes=[scope.value for scope in key.scopes],
        created_at=key.created_at,
        last_used_at=key.last_used_at,
        revoked_at=key.revoked_at,
    )
