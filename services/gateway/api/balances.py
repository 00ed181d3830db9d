"""`/api/users/balances`: everybody's credits, for administrators."""

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Query

from libs.runtime.auth import require_admin
from libs.runtime.db import Database
from libs.runtime.http.bodies import Body, Cursor
from libs.runtime.paging import Position, decode_cursor, page
from services.gateway.api.callers import Callers
from services.gateway.store import balances as store

LIMIT_DEFAULT: Final = 50
LIMIT_MAX: Final = 200


class BalanceRow(Body):
    """A user's own account as this gateway knows it: the ledger's figures at `version`.

    `credits` is what the user is shown, `available` what may still be promised.
    """

    user_id: UUID
    email: str
    display_name: str | None
    role: str
    credits: int
    settled: int
    held: int
    grace: int
    available: int
    version: int
    created_at: datetime


class BalanceRows(Body):
    items: list[BalanceRow]
    next_cursor: str | None


def create_router(database: Database, callers: Callers) -> APIRouter:
    """The list of balances."""
    router = APIRouter(tags=["credits"])

    @router.get("/api/users/balances", dependencies=[Depends(require_admin(callers.person))])
    async def list_balances(
        limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = LIMIT_DEFAULT,
        cursor: Cursor = None,
    ) -> BalanceRows:
        """Users with their credits, the newest first."""
        after = decode_cursor(cursor)
        async with database.read() as connection:
            found = await store.list_balances(connection, after, limit + 1)
        listed = page(found, limit, lambda each: Position(each.created_at, each.user_id))
        return BalanceRows(items=list(map(_row, listed.rows)), next_cursor=listed.next_cursor)

    return router


def _row(user: store.UserBalance) -> BalanceRow:
    copy = user.account
    return BalanceRow(
        user_id=user.user_id,
        email=user.email,
        display_name=user.display_name,
        role=user.role,
        credits=copy.shown_credits,
        settled=copy.settled,
        held=copy.held,
        grace=copy.grace,
        available=copy.available,
        version=copy.version,
        created_at=user.created_at,
    )
