"""The administrators' routes about users and limits."""

from datetime import datetime, timedelta
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import Field

from libs.runtime.auth import Principal, require_admin
from libs.runtime.http.bodies import Body, Reason, StrictBody
from services.gateway.api.api_keys import PER_MINUTE_MAX
from services.gateway.api.callers import Callers
from services.gateway.domain.limits import Kind, OwnPolicy, Subject
from services.gateway.domain.orders import INTEGER_MAX
from services.gateway.handlers.errors import SubjectNotFound
from services.gateway.handlers.sanctions import Limited, Sanctions

THROTTLE_SECONDS_MAX: Final = 366 * 86_400


class Command(StrictBody):
    """Whatever an administrator does has a reason, which is kept."""

    reason: Reason


class SetLimit(Command):
    """Rate and caps; without a figure the default holds."""

    per_minute: int | None = Field(default=None, ge=1, le=PER_MINUTE_MAX)
    credits_per_day: int | None = Field(default=None, ge=0, le=INTEGER_MAX)
    tokens_per_day: int | None = Field(default=None, ge=0, le=INTEGER_MAX)


class SetThrottle(Command):
    """A lower rate for so many seconds; without a rate an earlier throttle ends."""

    per_minute: int | None = Field(default=None, ge=1, le=PER_MINUTE_MAX)
    seconds: int = Field(default=3_600, ge=1, le=THROTTLE_SECONDS_MAX)


class BanBody(Body):
    user_id: UUID
    banned_at: datetime | None


class PolicyBody(Body):
    per_minute: int | None
    credits_per_day: int | None
    tokens_per_day: int | None


class UsedBody(Body):
    credits_today: int
    tokens_today: int


class LimitBody(Body):
    """What was set, what holds now, and what was used today."""

    kind: Kind
    subject: str
    own: PolicyBody
    throttle_per_minute: int | None
    throttled_until: datetime | None
    in_force: PolicyBody
    used: UsedBody


def create_router(sanctions: Sanctions, callers: Callers) -> APIRouter:
    """Ban, unban, limit, throttle."""
    router = APIRouter(prefix="/api/admin", tags=["limits"])
    Admin = Annotated[Principal, Depends(require_admin(callers.known))]  # noqa: N806  # a type

    @router.post("/users/{user_id}/ban")
    async def ban(user_id: str, body: Command, admin: Admin) -> BanBody:
        """Refuse a user's generations from now on; their open streams end."""
        banned = _user(user_id)
        at = await sanctions.ban(banned, reason=body.reason, actor=admin.user_id)
        return BanBody(user_id=banned, banned_at=at)

    @router.post("/users/{user_id}/unban")
    async def unban(user_id: str, body: Command, admin: Admin) -> BanBody:
        """Let a user generate again."""
        await sanctions.unban(_user(user_id), reason=body.reason, actor=admin.user_id)
        return BanBody(user_id=_user(user_id), banned_at=None)

    @router.get("/limits/{kind}/{subject}")
    async def show_limit(kind: Kind, subject: str, _admin: Admin) -> LimitBody:
        """What is set for a user, workspace, key or provider, and what was used today."""
        return _body(await sanctions.limited(_subject(kind, subject)))

    @router.put("/limits/{kind}/{subject}")
    async def set_limit(kind: Kind, subject: str, body: SetLimit, admin: Admin) -> LimitBody:
        """Set rate and daily caps; a throttle stays."""
        policy = OwnPolicy(
            per_minute=body.per_minute,
            credits_per_day=body.credits_per_day,
            tokens_per_day=body.tokens_per_day,
        )
        limited = await sanctions.limit(
            _subject(kind, subject), policy, reason=body.reason, actor=admin.user_id
        )
        return _body(limited)

    @router.put("/limits/{kind}/{subject}/throttle")
    async def set_throttle(kind: Kind, subject: str, body: SetThrottle, admin: Admin) -> LimitBody:
        """Lower the rate for a while, or end that."""
        limited = await sanctions.throttle(
            _subject(kind, subject),
            body.per_minute,
            timedelta(seconds=body.seconds),
            reason=body.reason,
            actor=admin.user_id,
        )
        return _body(limited)

    return router


def _user(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise SubjectNotFound(Kind.USER.value, text[:100]) from None


def _subject(kind: Kind, text: str) -> Subject:
    """A subject under the one form of its name."""
    if kind is Kind.PROVIDER:
        return Subject(kind, text)
    try:
        return Subject(kind, str(UUID(text)))
    except ValueError:
        raise SubjectNotFound(kind.value, text[:100]) from None


def _body(limited: Limited) -> LimitBody:
    own, allowance = limited.own, limited.allowance
    meter, policy = allowance.meter.on(limited.at.date()), allowance.policy
    return LimitBody(
        kind=allowance.subject.kind,
        subject=allowance.subject.id,
        own=PolicyBody(
            per_minute=own.per_minute,
            credits_per_day=own.credits_per_day,
            tokens_per_day=own.tokens_per_day,
        ),
        throttle_per_minute=own.throttle.per_minute if own.throttle else None,
        throttled_until=own.throttle.until if own.throttle else None,
        in_force=PolicyBody(
            per_minute=policy.per_minute,
            credits_per_day=policy.credits_per_day,
            tokens_per_day=policy.tokens_per_day,
        ),
        used=UsedBody(credits_today=meter.credits, tokens_today=meter.tokens),
    )
