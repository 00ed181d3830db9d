"""Copies of credit accounts as they are opened: at sign-up, in a recovery and in a rebuild."""

from collections.abc import Sequence
from typing import TypeAlias

from libs.events.identity import UserRegistered, WorkspaceCreated
from libs.runtime.db import Connection

Opening: TypeAlias = UserRegistered | WorkspaceCreated
"""What opens an account: that of a user, or that of a workspace."""

OPEN_ACCOUNTS = """
    INSERT INTO credit_account (account_id, version, settled, grace, held)
    SELECT account_id, 0, settled, grace, 0
      FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS row (account_id, settled, grace)
    ON CONFLICT (account_id) DO NOTHING
"""


async def open_accounts(connection: Connection, openings: Sequence[Opening]) -> None:
    """Copies with the credits and the grace of the opening, at version 0; known ones stay."""
    if openings:
        await connection.execute(
            OPEN_ACCOUNTS,
            [each.account_id for each in openings],
            [each.signup_credits for each in openings],
            [each.grace for each in openings],
        )
