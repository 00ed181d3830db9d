"""Why something was charged, in words, and the events behind it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Query
from msgspec.structs import asdict, replace
from pydantic import AwareDatetime

from libs.events.names import EventType
from libs.runtime.auth import Principal, RequirePrincipal, require_admin
from libs.runtime.http.bodies import Body, Cursor, Text
from libs.runtime.paging import decode_cursor, encode_cursor
from services.ledger.domain.masks import for_owner
from services.ledger.domain.story.story import Story, is_for_owner
from services.ledger.domain.trail import TrailRow
from services.ledger.handlers.stories import Stories
from services.ledger.store.trail import Wanted

LIMIT_DEFAULT, LIMIT_MAX = 50, 200
STORIES_DEFAULT, STORIES_MAX = 10, 50
TEXT_MAX = 500
TYPES_MAX = 20

Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX)]
StoriesLimit = Annotated[int, Query(ge=1, le=STORIES_MAX, alias="limit")]
Types = Annotated[
    list[Text] | None, Query(alias="type", max_length=TYPES_MAX, description="Any of these.")
]
AccountId = Annotated[UUID | None, Query(alias="accountId", description="Who pays.")]
UserId = Annotated[UUID | None, Query(alias="userId", description="Who acted.")]
WorkspaceId = Annotated[UUID | None, Query(alias="workspaceId")]
Subject = Annotated[Text | None, Query(max_length=TEXT_MAX, description="What it is about.")]
JobId = Annotated[UUID | None, Query(alias="jobId", description="The same, of a job.")]
CorrelationId = Annotated[UUID | None, Query(alias="correlationId")]
Since = Annotated[AwareDatetime | None, Query(description="At this time or later.")]
Until = Annotated[AwareDatetime | None, Query(description="Before this time.")]
Path = Annotated[
    Text | None, Query(max_length=TEXT_MAX, description="A JSON path that finds something in it.")
]


class StepBody(Body):
    """One event in words; `depth` is how many causes stand before it."""

    event_id: UUID
    type: str
    at: datetime
    depth: int
    text: str


class StoryBody(Body):
    """What one cause led to; of a job, `correlationId` is its id."""

    correlation_id: UUID
    account_id: UUID | None
    began_at: datetime
    summary: str
    steps: list[StepBody]


class StoryBodies(Body):
    items: list[StoryBody]


class EventBody(Body):
    """One event. Without `data` where this release does not know what of it may be shown."""

    event_id: UUID
    type: str
    version: int
    source: str
    subject: str
    at: datetime
    account_id: UUID | None
    user_id: UUID | None
    workspace_id: UUID | None
    correlation_id: UUID
    causation_id: UUID | None
    data: Any


class EventBodies(Body):
    items: list[EventBody]
    next_cursor: str | None


def wanted(
    types: Types = None,
    account_id: AccountId = None,
    user_id: UserId = None,
    workspace_id: WorkspaceId = None,
    subject: Subject = None,
    job_id: JobId = None,
    correlation_id: CorrelationId = None,
    since: Since = None,
    until: Until = None,
    path: Path = None,
) -> Wanted:
    """What administrators may ask for."""
    return Wanted(
        types=types,
        account_id=account_id,
        user_id=user_id,
        workspace_id=workspace_id,
        subject=subject if job_id is None else str(job_id),
        correlation_id=correlation_id,
        since=since,
        until=until,
        path=path,
    )


def create_router(stories: Stories, principal_of: RequirePrincipal) -> APIRouter:
    """The routes of the trail: a job's for its owner, all for administrators."""
    router = APIRouter(tags=["trail"])
    Caller = Annotated[Principal, Depends(principal_of)]  # noqa: N806  # a type, made at start
    Admin = Depends(require_admin(principal_of))  # noqa: N806  # a dependency, made at start

    @router.get("/api/jobs/{job_id}/why")
    async def explain_job(job_id: UUID, caller: Caller) -> StoryBody:
        """A job in words: what was asked, at which price, what came of it, what was charged."""
        return _story(await stories.of_job(job_id, caller))

    @router.get("/api/jobs/{job_id}/trail")
    async def list_events_of_job(job_id: UUID, caller: Caller) -> EventBodies:
        """A job's events, the oldest first."""
        rows = await stories.events_of_job(job_id, caller)
        payer = next((row.account_id for row in rows if row.account_id), None)
        items = [
            _event(row, is_admin=caller.is_admin)
            for row in rows
            if caller.is_admin or is_for_owner(row.envelope, payer)
        ]
        return EventBodies(items=items, next_cursor=None)

    @router.get("/api/admin/events", dependencies=[Admin])
    async def search_events(
        asked: Annotated[Wanted, Depends(wanted)],
        limit: Limit = LIMIT_DEFAULT,
        cursor: Cursor = None,
    ) -> EventBodies:
        """Events of all services, newest first. A page may be short, and still not the last."""
        found = await stories.search(asked, decode_cursor(cursor), limit)
        return EventBodies(
            items=[_event(row, is_admin=True) for row in found.rows],
            next_cursor=None if found.after is None else encode_cursor(found.after),
        )

    @router.get("/api/admin/why", dependencies=[Admin])
    async def explain(
        user_id: UserId = None,
        workspace_id: WorkspaceId = None,
        correlation_id: CorrelationId = None,
        since: Since = None,
        until: Until = None,
        failed: Annotated[bool, Query(description="Jobs that have failed.")] = False,
        limit: StoriesLimit = STORIES_DEFAULT,
    ) -> StoryBodies:
        """The newest stories of a person, a workspace or a time, the newest first."""
        if correlation_id is not None:
            found = await stories.of_chain(correlation_id)
        else:
            types = [EventType.GENERATION_FAILED.value] if failed else None
            asked = Wanted(types=types, since=since, until=until)
            found = await stories.newest(_about(asked, user_id, workspace_id), limit)
        return StoryBodies(items=[_story(each) for each in found])

    return router


def _about(asked: Wanted, user_id: UUID | None, workspace_id: UUID | None) -> Sequence[Wanted]:
    """Who acts is known of some events, who pays of others; an account has its owner's id."""
    if user_id is not None:
        asked = replace(asked, workspace_id=workspace_id)
        return replace(asked, user_id=user_id), replace(asked, account_id=user_id)
    if workspace_id is not None:
        return replace(asked, workspace_id=workspace_id), replace(asked, account_id=workspace_id)
    return (asked,)


def _story(story: Story) -> StoryBody:
    steps = [StepBody(**asdict(each)) for each in story.steps]
    return StoryBody(**asdict(story) | {"steps": steps})


def _event(row: TrailRow, *, is_admin: bool) -> EventBody:
    attributes = asdict(row) | {"at": row.occurred_at}
    del attributes["occurred_at"]
    data = msgspec.Raw(row.data)
    shown = _whole(data) if is_admin else for_owner(row.envelope)
    return EventBody(**attributes | {"data": shown})


def _whole(data: msgspec.Raw) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
