"""Ends lots in their time. Every replica may do so: under the account's lock one of them does."""

from datetime import datetime

from libs.runtime.clock import Clock
from libs.runtime.db import Database
from services.ledger.domain.commands import ExpireLot
from services.ledger.domain.fold import Input
from services.ledger.domain.ids import expiry_id
from services.ledger.handlers.booking import carry_out
from services.ledger.store import expiry as store

BATCH = 200


class Expiry:
    """Timed work: whose lots have come to their end."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def next_at(self) -> datetime | None:
        """When the next lot ends."""
        async with self._database.read() as connection:
            return await store.next_end(connection)

    async def work(self) -> None:
        """End all lots that are due now."""
        while await self._end_some() == BATCH:
            pass

    async def _end_some(self) -> int:
        async with self._database.transaction() as transaction:
            now = self._clock.now()
            due = await store.find_ended(transaction.connection, now, BATCH)
            commands = [
                ExpireLot(
                    transaction_id=expiry_id(lot_id), account_id=account_id, lot_id=lot_id, at=now
                )
                for account_id, lot_id in due
            ]
            if commands:
                await carry_out(transaction, [Input(None, command) for command in commands])
        return len(due)
