"""The routes of a service's dead letters, for administrators alone."""

import base64
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime

from libs.runtime.auth import Principal, RequirePrincipal, require_admin
from libs.runtime.deadletters import DeadLetters, Filter, ParkedRow, Step
from libs.runtime.http.bodies import Body, Reason, Text

INTERNAL_PREFIX = "/internal/parked"
LIMIT_MAX = 200


class ParkedBody(Body):
    """A parked message. Those with another `headId` than their own follow that one, in order."""

    parked_id: UUID
    head_id: UUID
    consumer: str
    topic: str
    partition: int | None
    offset: int | None
    event_id: UUID | None
    event_type: str | None
    order_key: str | None
    reason: str
    detail: str
    parked_at: datetime
    resolved_at: datetime | None
    resolution: str | None
    resolved_by: UUID | None
    note: str | None


class ParkedMessage(ParkedBody):
    """With the message itself: as text, or in base64 where it is none."""

    text: str | None
    base64: str | None


class ParkedRows(Body):
    items: list[ParkedBody]
    next_cursor: str | None


class Redrive(Body):
    dry_run: bool = True


class Discard(Body):
    reason: Reason
    dry_run: bool = True


class StepBody(Body):
    parked_id: UUID
    event_type: str | None
    outcome: str
    reason: str
    detail: str


class Steps(Body):
    """What was done, or in a dry run would be, row by row."""

    dry_run: bool
    steps: list[StepBody]


def create_router(
    letters: DeadLetters, authenticate: RequirePrincipal, *, prefix: str = INTERNAL_PREFIX
) -> APIRouter:
    """List, show, redrive, discard."""
    router = APIRouter(prefix=prefix, tags=["dead letters"])
    Admin = Annotated[Principal, Depends(require_admin(authenticate))]  # noqa: N806  # a type

    @router.get("")
    async def list_parked(
        _admin: Admin,
        event_type: Annotated[Text | None, Query(alias="type")] = None,
        reason: Text | None = None,
        since: AwareDatetime | None = None,
        until: AwareDatetime | None = None,
        limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = LIMIT_MAX,
        cursor: Annotated[int, Query(ge=0, le=2**63 - 1)] = 0,
    ) -> ParkedRows:
        """Open rows, the oldest first."""
        wanted = Filter(event_type=event_type, reason=reason, since=since, until=until)
        found = await letters.find(wanted, after=cursor, limit=limit + 1)
        listed = found[:limit]
        has_more = len(found) > limit
        return ParkedRows(
            items=[ParkedBody(**_fields(row)) for row in listed],
            next_cursor=str(listed[-1].sequence) if has_more else None,
        )

    @router.get("/{parked_id}")
    async def show_parked(_admin: Admin, parked_id: UUID) -> ParkedMessage:
        """One row with its message, open or resolved."""
        row = await letters.get(parked_id)
        return ParkedMessage(**_fields(row), **_message(row.encoded))

    @router.post("/{parked_id}/redrive")
    async def redrive_parked(admin: Admin, parked_id: UUID, body: Redrive) -> Steps:
        """Run the consumer's handler again: on this row, then on those behind it."""
        steps = await letters.redrive(parked_id, actor=admin.user_id, is_dry_run=body.dry_run)
        return Steps(dry_run=body.dry_run, steps=[_step(each) for each in steps])

    @router.post("/{parked_id}/discard")
    async def discard_parked(admin: Admin, parked_id: UUID, body: Discard) -> Steps:
        """Give the message up, for a reason; what it was about is finished all the same."""
        steps = await letters.discard(
            parked_id, actor=admin.user_id, reason=body.reason, is_dry_run=body.dry_run
        )
        return Steps(dry_run=body.dry_run, steps=[_step(each) for each in steps])

    return router


def _step(step: Step) -> StepBody:
    return StepBody(
        parked_id=step.parked_id,
        event_type=step.event_type,
        outcome=step.outcome,
        reason=step.reason,
        detail=step.detail,
    )


def _fields(row: ParkedRow) -> dict[str, Any]:
    names = set(ParkedBody.model_fields) - {"offset"}
    return {name: getattr(row, name) for name in names} | {"offset": row.next_offset}


def _message(encoded: bytes | None) -> dict[str, Any]:
    if encoded is None:
        return {"text": None, "base64": None}
    try:
        return {"text": encoded.decode(), "base64": None}
    except UnicodeDecodeError:
        return {"text": None, "base64": base64.b64encode(encoded).decode()}
