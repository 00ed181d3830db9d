"""Deductions: admitted like a job, by a hold, and booked by the ledger."""

from uuid import UUID

from msgspec import Struct

from libs.events.identity import DeductionRequested
from libs.runtime.clock import Clock
from libs.runtime.db import Database
from libs.runtime.errors import NotFound
from libs.runtime.ids import Ids
from libs.runtime.tracing import current_traceparent
from services.gateway.domain.admission import CreditsShort
from services.gateway.domain.deductions import deduction_id
from services.gateway.handlers.copies import Copies
from services.gateway.handlers.errors import IdempotencyKeyReused, InsufficientCredits
from services.gateway.store import deductions as store
from services.gateway.store.deductions import Deduction


class AccountNotFound(NotFound):
    code = "account_not_found"

    def __init__(self) -> None:
        super().__init__("There is no such account")


class DeductionNotFound(NotFound):
    code = "deduction_not_found"

    def __init__(self) -> None:
        super().__init__("There is no such deduction")


class Asked(Struct, frozen=True, kw_only=True):
    """What an administrator asks for."""

    account_id: UUID
    credits: int
    reason: str
    actor: UUID
    key: str | None

    def is_for(self, deduction: Deduction) -> bool:
        """Whether a deduction under the same key is what is asked for."""
        told = (deduction.account_id, deduction.credits, deduction.reason)
        return told == (self.account_id, self.credits, self.reason)


class Deductions:
    """Admits deductions and follows them."""

    def __init__(self, *, database: Database, copies: Copies, clock: Clock, ids: Ids) -> None:
        self._database = database
        self._copies = copies
        self._clock = clock
        self._ids = ids

    async def submit(self, asked: Asked) -> UUID:
        """Hold the credits and tell the ledger, in one transaction; or join the same deduction.

        Raises:
            AccountNotFound, InsufficientCredits, IdempotencyKeyReused: nothing is kept.
        """
        # The id says the key again when everything else of it is lost: a repeat finds the same one.
        key = asked.key or str(self._ids.new())
        requested = DeductionRequested(
            deduction_id=deduction_id(asked.actor, key),
            account_id=asked.account_id,
            credits=asked.credits,
            actor=asked.actor,
            reason=asked.reason,
            requested_at=self._clock.now(),
        )
        async with self._database.transaction() as transaction:
            connection = transaction.connection
            account = await store.lock_account(connection, asked.account_id)
            if account is None:
                raise AccountNotFound
            earlier = await store.find(connection, requested.deduction_id)
            if earlier is not None:
                if not asked.is_for(earlier):
                    raise IdempotencyKeyReused
                return earlier.deduction_id
            if account.available < asked.credits:
                raise InsufficientCredits(
                    CreditsShort(needed=asked.credits, available=account.available)
                )
            if not await store.add(connection, [requested]):  # just now, on another account
                raise IdempotencyKeyReused
            transaction.publish(requested, traceparent=current_traceparent())
        return requested.deduction_id

    async def find(self, deduction_id: UUID) -> Deduction:
        """A deduction as it is now.

        Raises:
            DeductionNotFound: there is none.
        """
        async with self._database.read() as connection:
            deduction = await store.find(connection, deduction_id)
        if deduction is None:
            raise DeductionNotFound
        return deduction

    async def booked(self, deduction_id: UUID, account_id: UUID) -> Deduction:
        """A deduction once it is booked, or as it is after five seconds."""

        async def is_closed() -> bool:
            return (await self.find(deduction_id)).closed_at is not None

        await self._copies.until(account_id, is_closed)
        return await self.find(deduction_id)
