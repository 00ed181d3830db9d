"""Deductions: admitted like a job, by a hold, and booked by the ledger."""

import hashlib
from uuid import UUID

import msgspec
from msgspec import Struct

from libs.events.identity import DeductionRequested
from libs.runtime.clock import Clock
from libs.runtime.db import Database
from libs.runtime.errors import NotFound
from libs.runtime.ids import Ids
from libs.runtime.tracing import current_traceparent
from services.gateway.domain.admission import CreditsShort
from services.gateway.handlers.copies import Copies
from services.gateway.handlers.errors import IdempotencyKeyReused, InsufficientCredits
from services.gateway.store import deductions as store
from services.gateway.store.deductions import Deduction, NewDeduction


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

    def fingerprint(self) -> bytes:
        """The same for a repeat."""
        content = (self.account_id, self.credits, self.reason)
        return hashlib.sha256(msgspec.json.encode(content)).digest()


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
        fingerprint = asked.fingerprint()
        async with self._database.transaction() as transaction:
            connection = transaction.connection
            account = await store.lock_account(connection, asked.account_id)
            if account is None:
                raise AccountNotFound
            if asked.key is not None:
                earlier = await store.find_earlier(connection, asked.actor, asked.key)
                if earlier is not None:
                    if earlier.fingerprint != fingerprint:
                        raise IdempotencyKeyReused
                    return earlier.deduction_id
            if account.available < asked.credits:
                raise InsufficientCredits(
                    CreditsShort(needed=asked.credits, available=account.available)
                )
            new = NewDeduction(
                deduction_id=self._ids.new(),
                account_id=asked.account_id,
                credits=asked.credits,
                actor=asked.actor,
                reason=asked.reason,
                requested_at=self._clock.now(),
                key=asked.key or str(self._ids.new()),
                fingerprint=fingerprint,
            )
            if not await store.add(connection, new):  # the key was used on another account
                raise IdempotencyKeyReused
            transaction.publish(
                DeductionRequested(
                    deduction_id=new.deduction_id,
                    account_id=new.account_id,
                    credits=new.credits,
                    actor=new.actor,
                    reason=new.reason,
                    requested_at=new.requested_at,
                ),
                traceparent=current_traceparent(),
            )
        return new.deduction_id

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
