"""Billing's HTTP routes: usage, of oneself and, for admins, of all."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from msgspec.structs import asdict
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from libs.runtime.auth import Principal, RequirePrincipal, require_admin
from libs.runtime.db import Database
from libs.runtime.paging import Page, Position, decode_cursor, page
from services.billing import store
from services.billing.domain.usage import Usage

LIMIT_DEFAULT = 50
LIMIT_MAX = 200

JobId = Annotated[UUID | None, Query(alias="jobId", description="Only the row of this job.")]
Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX)]
Cursor = Annotated[str | None, Query(description="`nextCursor` of the page before.")]


class Body(BaseModel):
    """Snake case here, camel case on the wire."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)


class UsageRow(Body):
    """A finished job, as the person sees it who asked for it.

    What only the request tells is null where the request could not be read.
    """

    id: UUID
    job_id: UUID
    account_id: UUID
    user_id: UUID | None
    workspace_id: UUID | None
    operation: str | None
    provider: str | None
    model: str | None
    price_book_version: int | None
    units_requested: int | None
    units_delivered: int
    credits: int
    outcome: str
    error_code: str | None
    input_tokens: int
    output_tokens: int
    queued_ms: int
    provider_ms: int
    event_id: UUID
    correlation_id: UUID
    requested_at: datetime | None
    occurred_at: datetime


class UsageEvent(UsageRow):
    """A finished job, as an admin sees it: with what the provider charges us."""

    provider_cost_microusd: int


class UsageRows(Body):
    items: list[UsageRow]
    next_cursor: str | None


class UsageEvents(Body):
    items: list[UsageEvent]
    next_cursor: str | None


def create_router(database: Database, principal_of: RequirePrincipal) -> APIRouter:
    """The routes of `/api/usage`."""
    router = APIRouter(prefix="/api/usage", tags=["usage"])

    @router.get("/mine")
    async def list_own_usage(
        caller: Annotated[Principal, Depends(principal_of)],
        job_id: JobId = None,
        limit: Limit = LIMIT_DEFAULT,
        cursor: Cursor = None,
    ) -> UsageRows:
        """The caller's finished jobs, newest first."""
        after = decode_cursor(cursor)
        async with database.read() as connection:
            if job_id is None:
                rows = await store.list_own_usage(connection, caller.user_id, after, limit + 1)
            else:
                rows = await store.find_own_usage(connection, job_id, caller.user_id)
        listed = _page(rows, limit)
        items = [UsageRow(**asdict(usage)) for usage in listed.rows]
        return UsageRows(items=items, next_cursor=listed.next_cursor)

    @router.get("/events", dependencies=[Depends(require_admin(principal_of))])
    async def list_all_usage(
        job_id: JobId = None, limit: Limit = LIMIT_DEFAULT, cursor: Cursor = None
    ) -> UsageEvents:
        """Everybody's finished jobs, newest first, for administrators."""
        after = decode_cursor(cursor)
        async with database.read() as connection:
            if job_id is None:
                rows = await store.list_all_usage(connection, after, limit + 1)
            else:
                rows = await store.find_usage(connection, job_id)
        listed = _page(rows, limit)
        items = [UsageEvent(**asdict(usage)) for usage in listed.rows]
        return UsageEvents(items=items, next_cursor=listed.next_cursor)

    return router


def _page(rows: list[Usage], limit: int) -> Page[Usage]:
    return page(rows, limit, lambda usage: Position(usage.occurred_at, usage.id))
