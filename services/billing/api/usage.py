"""Usage over HTTP: of oneself and, for admins, of all."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from msgspec.structs import asdict, replace
from pydantic import AwareDatetime
from starlette.responses import StreamingResponse

from libs.events.billing import UsageOutcome
from libs.events.generation import CostSource
from libs.runtime.auth import Principal, RequirePrincipal, require_admin
from libs.runtime.clock import Clock
from libs.runtime.db import Database
from libs.runtime.http.as_of import past_by
from libs.runtime.http.bodies import Body, Cursor, Text
from libs.runtime.paging import Page, Position, decode_cursor, no_later, page
from services.billing.domain.exports import MEDIA_TYPES, ExportForm
from services.billing.domain.usage import Usage
from services.billing.handlers.exports import exported
from services.billing.store import usage as store
from services.billing.store.usage import Filter

LIMIT_DEFAULT = 50
LIMIT_MAX = 200
NAME_CHARS_MAX = 200

Provider = Annotated[Text | None, Query(max_length=NAME_CHARS_MAX)]
Model = Annotated[Text | None, Query(max_length=NAME_CHARS_MAX)]
Operation = Annotated[Text | None, Query(max_length=NAME_CHARS_MAX)]
Outcome = Annotated[UsageOutcome | None, Query()]
Since = Annotated[AwareDatetime | None, Query(description="Ended at this time or later.")]
Until = Annotated[AwareDatetime | None, Query(description="Ended before this time.")]
UserId = Annotated[UUID | None, Query(alias="userId", description="Who acted.")]
AccountId = Annotated[UUID | None, Query(alias="accountId", description="Who paid.")]
WorkspaceId = Annotated[UUID | None, Query(alias="workspaceId")]
Form = Annotated[ExportForm, Query(alias="format")]
JobId = Annotated[UUID | None, Query(alias="jobId", description="Only the row of this job.")]
Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX)]


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
    provider_cost_source: CostSource
    attempt_id: UUID | None
    provider_references: str


class UsageRows(Body):
    items: list[UsageRow]
    next_cursor: str | None


class UsageEvents(Body):
    items: list[UsageEvent]
    next_cursor: str | None


def own_filter(
    job_id: JobId = None,
    provider: Provider = None,
    model: Model = None,
    operation: Operation = None,
    outcome: Outcome = None,
    since: Since = None,
    until: Until = None,
) -> Filter:
    """What everybody may ask for."""
    return Filter(
        job_id=job_id,
        provider=provider,
        model=model,
        operation=operation,
        outcome=outcome,
        since=since,
        until=until,
    )


def admin_filter(
    own: Annotated[Filter, Depends(own_filter)],
    user_id: UserId = None,
    account_id: AccountId = None,
    workspace_id: WorkspaceId = None,
) -> Filter:
    """What administrators may ask for besides."""
    return replace(own, user_id=user_id, account_id=account_id, workspace_id=workspace_id)


def create_router(database: Database, clock: Clock, principal_of: RequirePrincipal) -> APIRouter:
    """The routes of `/api/usage`."""
    router = APIRouter(prefix="/api/usage", tags=["usage"])
    Admin = Depends(require_admin(principal_of))  # noqa: N806  # a dependency, made at start

    AsOf = Annotated[datetime | None, Depends(past_by(clock))]  # noqa: N806  # a type, as above

    async def listed(
        wanted: Filter, limit: int, cursor: str | None, as_of: datetime | None
    ) -> Page[Usage]:
        after = no_later(decode_cursor(cursor), as_of)
        async with database.read() as connection:
            rows = await store.list_usage(connection, wanted, after, limit + 1)
        return page(rows, limit, lambda usage: Position(usage.occurred_at, usage.id))

    @router.get("/mine")
    async def list_own_usage(
        caller: Annotated[Principal, Depends(principal_of)],
        own: Annotated[Filter, Depends(own_filter)],
        as_of: AsOf,
        limit: Limit = LIMIT_DEFAULT,
        cursor: Cursor = None,
    ) -> UsageRows:
        """The caller's finished jobs, newest first."""
        found = await listed(replace(own, owner_id=caller.user_id), limit, cursor, as_of)
        items = [UsageRow(**asdict(usage)) for usage in found.rows]
        return UsageRows(items=items, next_cursor=found.next_cursor)

    @router.get("/events", dependencies=[Admin])
    async def list_all_usage(
        wanted: Annotated[Filter, Depends(admin_filter)],
        as_of: AsOf,
        limit: Limit = LIMIT_DEFAULT,
        cursor: Cursor = None,
    ) -> UsageEvents:
        """Everybody's finished jobs, newest first, for administrators."""
        found = await listed(wanted, limit, cursor, as_of)
        items = [UsageEvent(**asdict(usage)) for usage in found.rows]
        return UsageEvents(items=items, next_cursor=found.next_cursor)

    @router.get("/events/export", dependencies=[Admin], response_class=StreamingResponse)
    async def export_usage(
        wanted: Annotated[Filter, Depends(admin_filter)], form: Form = ExportForm.CSV
    ) -> StreamingResponse:
        """All rows that are asked for, newest first, as one file, sent as it is read."""
        return StreamingResponse(
            exported(database, wanted, form),
            media_type=MEDIA_TYPES[form],
            headers={"content-disposition": f'attachment; filename="usage.{form.value}"'},
        )

    return router
