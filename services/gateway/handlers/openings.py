"""New credit accounts: the copy and the word of it in one transaction, so they can pay at once."""

from libs.runtime.db import Transaction
from services.gateway.store import openings as store
from services.gateway.store.openings import Opening


async def open_account(transaction: Transaction, opening: Opening) -> None:
    """Open the account of a new user or workspace here, and tell the ledger to."""
    await store.open_accounts(transaction.connection, [opening])
    transaction.publish(opening)
