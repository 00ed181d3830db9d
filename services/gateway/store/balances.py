"""Everybody's credits, as the copies of their accounts say."""

from datetime import datetime
from uuid import UUID

from msgspec import Struct

from libs.runtime.db import Connection
from libs.runtime.paging import Position
from services.gateway.domain.credits import AccountCopy

LIST_BALANCES = """
    SELECT user_id, email, display_name, role, created_at, version, settled, grace, held
      FROM users JOIN credit_account ON account_id = user_id
     WHERE (created_at, user_id) < ($1, $2)
     ORDER BY created_at DESC, user_id DESC LIMIT $3
"""


class UserBalance(Struct, frozen=True, kw_only=True):
    """A user with the copy of their own account."""

    user_id: UUID
    email: str
    display_name: str | None
    role: str
    created_at: datetime
    account: AccountCopy


async def list_balances(connection: Connection, after: Position, limit: int) -> list[UserBalance]:
    """Users with their credits, the newest first, from behind a position on."""
    rows = await connection.fetch(LIST_BALANCES, after.at, after.id, limit)
    return [
        UserBalance(
            user_id=row["user_id"],
            email=row["email"],
            display_name=row["display_name"],
            role=row["role"],
            created_at=row["created_at"],
            account=AccountCopy(
                version=row["version"], settled=row["settled"], grace=row["grace"], held=row["held"]
            ),
        )
        for row in rows
    ]
