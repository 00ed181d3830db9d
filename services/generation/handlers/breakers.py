"""Circuit breakers: what calls bring is noted in the provider's row, and its changes are told.

So is a rest that a provider asks for.
"""

from datetime import datetime

from libs.events.generation import FailureCode
from libs.events.operations import Circuit, ProviderCircuitChanged
from libs.runtime.clock import Clock
from libs.runtime.db import Database, Transaction
from services.generation.domain import breaker as rules
from services.generation.domain.breaker import Breaker
from services.generation.domain.pace import rest_until
from services.generation.handlers.requests import WORK_CHANNEL
from services.generation.store import breakers

BREAKER_CHANNEL = "breaker"  # a provider is left alone from now on


class Breakers:
    """The breakers of all providers, for every replica the same: they are in the database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def failed(
        self,
        transaction: Transaction,
        provider: str,
        code: FailureCode,
        *,
        rest_seconds: float = 0.0,
    ) -> None:
        """A call has failed; part of the transaction that ends its attempt."""
        if until := rest_until(code, rest_seconds, self._clock.now()):
            await breakers.rest(transaction.connection, provider, until)
            transaction.wake(WORK_CHANNEL)  # whoever waits for its pace learns of its rest
        if code in rules.SILENT:
            return
        before = await breakers.lock(transaction.connection, provider)
        if before is not None:
            after = rules.after_failure(before, code, self._clock.now())
            await self._change(transaction, provider, before, after, reason=code.value)

    async def succeeded(self, provider: str) -> None:
        """A call has come through at a provider that had failed before."""
        async with self._database.transaction() as transaction:
            before = await breakers.lock(transaction.connection, provider)
            if before is not None:
                await self._change(transaction, provider, before, rules.after_success(before))

    async def next_at(self) -> datetime | None:
        """When the next provider has rested."""
        async with self._database.read() as connection:
            return await breakers.next_retry(connection)

    async def work(self) -> None:
        """Let one call of each provider that has rested through."""
        async with self._database.transaction() as transaction:
            rested = await breakers.half_open(transaction.connection, self._clock.now())
            for provider, failures in rested.items():
                transaction.publish(
                    ProviderCircuitChanged(
                        provider=provider, state=Circuit.HALF_OPEN, failures=failures
                    )
                )
            transaction.wake(WORK_CHANNEL)

    @staticmethod
    async def _change(
        transaction: Transaction, provider: str, before: Breaker, after: Breaker, reason: str = ""
    ) -> None:
        if after == before:
            return
        await breakers.save(transaction.connection, provider, after)
        if after.breaker is before.breaker:
            return
        transaction.publish(
            ProviderCircuitChanged(
                provider=provider,
                state=after.breaker,
                failures=after.failures,
                reason=reason,
                retry_at=after.retry_at,
            )
        )
        transaction.wake(BREAKER_CHANNEL)
        transaction.wake(WORK_CHANNEL)
