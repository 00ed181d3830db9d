"""Ends lots in their time. Every replica may do so: under the account's lock one of them does."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import structlog

from libs.runtime.clock import Clock
from libs.runtime.db import Database
from services.ledger.domain.commands import ExpireLot
from services.ledger.domain.errors import LedgerError
from services.ledger.domain.fold import Input
from services.ledger.domain.ids import expiry_id
from services.ledger.handlers.booking import carry_out
from services.ledger.store import expiry as store

BATCH = 200

logger = structlog.get_logger(__name__)


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
        now = self._clock.now()
        async with self._database.read() as connection:
            due = await store.find_ended(connection, now, BATCH)
        try:
            await self._end(due, now)
        except LedgerError:
            if len(due) > 1:
                await self._end_each(due, now)
            raise  # whoever waits for the work to be done looks again later
        return len(due)

    async def _end_each(self, due: Sequence[tuple[UUID, UUID]], now: datetime) -> None:
        """One account's broken books keep nobody else's lots alive."""
        for lot in due:
            try:
                await self._end([lot], now)
            except LedgerError:
                logger.exception("lot_not_ended", account_id=str(lot[0]), lot_id=str(lot[1]))

    async def _end(self, lots: Sequence[tuple[UUID, UUID]], now: datetime) -> None:
        if not lots:
            return
        commands = [
            ExpireLot(
                transaction_id=expiry_id(lot_id), account_id=account_id, lot_id=lot_id, at=now
            )
            for account_id, lot_id in lots
        ]
        async with self._database.transaction() as transaction:
            await carry_out(transaction, [Input(None, command) for command in commands])
