"""What nobody has done in time: lost leases, jobs that have rested, deadlines."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from libs.events.generation import AttemptOutcome, FailureCode
from libs.runtime.clock import Clock
from libs.runtime.db import Database, Transaction
from services.generation.domain import retries
from services.generation.domain.capabilities import DEADLINE, Capabilities, Failure
from services.generation.domain.jobs import AttemptState, JobState, Spent, attempt_ended
from services.generation.handlers.metrics import Metrics
from services.generation.handlers.requests import WORK_CHANNEL, end_jobs
from services.generation.ports import references_of
from services.generation.store import ends
from services.generation.store.ends import Due, Released

BATCH = 200

INTERRUPTED = Failure(
    code=FailureCode.SERVER, message="The generation was interrupted: try it again."
)


class Overdue:
    """Settles what is due. Every replica may do so at any time: the rows decide who was first."""

    def __init__(
        self,
        *,
        database: Database,
        providers: Mapping[str, Capabilities],
        clock: Clock,
        metrics: Metrics,
        sweep_delay: timedelta,
    ) -> None:
        self._database = database
        self._providers = providers
        self._clock = clock
        self._metrics = metrics
        self._sweep_delay = sweep_delay

    async def next_at(self) -> datetime | None:
        """When the next job is due."""
        async with self._database.read() as connection:
            return await ends.next_due(connection)

    async def work(self) -> None:
        """Settle all that is due now."""
        while await self._settle_some() == BATCH:
            pass

    async def _settle_some(self) -> int:
        async with self._database.transaction() as transaction:
            now = self._clock.now()
            due = await ends.find_due(transaction.connection, now, BATCH)
            if not due:
                return 0
            await ends.lock_shares_of_jobs(transaction.connection, [each.id for each in due])
            await ends.lock_jobs(transaction.connection, [each.id for each in due])
            late = [each.id for each in due if each.is_expired]
            ended = await end_jobs(
                transaction, late, DEADLINE, now=now, sweep_delay=self._sweep_delay
            )
            alive = [each for each in due if not each.is_expired]
            rested = [each.id for each in alive if each.state is JobState.DELAYED]
            await ends.resume(transaction.connection, rested, now)
            lost = [each for each in alive if each.state is JobState.RUNNING]
            released = await self._release(transaction, lost, now)
            transaction.wake(WORK_CHANNEL)
        self._metrics.ended.labels(DEADLINE.code.value).inc(len(ended))
        for each in released:
            self._metrics.attempts.labels(each.provider, AttemptState.UNKNOWN.value).inc()
        return len(due)

    async def _release(
        self, transaction: Transaction, lost: Sequence[Due], now: datetime
    ) -> list[Released]:
        """Take jobs from workers that have not renewed their leases."""
        if not lost:
            return []
        released = await ends.release(
            transaction.connection,
            [(each.id, each.fence) for each in lost],
            state=AttemptState.UNKNOWN,
            counts=True,
            is_own=False,
            now=now,
            sweep_at=now + self._sweep_delay,
        )
        await requeue_or_end(
            transaction,
            released,
            self._providers,
            outcome=AttemptOutcome.UNKNOWN,
            now=now,
            sweep_delay=self._sweep_delay,
        )
        return released


async def requeue_or_end(
    transaction: Transaction,
    released: Sequence[Released],
    providers: Mapping[str, Capabilities],
    *,
    outcome: AttemptOutcome,
    now: datetime,
    sweep_delay: timedelta,
) -> None:
    """Leave released jobs in the queue, save those that may not be tried once more.

    What became of their attempts nobody knows: that is told, for whoever can find it out.
    """
    for each in released:
        ended = attempt_ended(
            each.requested.data.request,
            each.attempt_id,
            outcome,
            started_at=each.started_at,
            spent=Spent(references=references_of(each.submission)),
        )
        transaction.publish(ended, cause=each.requested)
    hopeless = [
        each.id
        for each in released
        if not retries.may_retry_unknown(
            each.unknowns,
            is_idempotent=each.is_resumable or _is_idempotent(providers, each.provider),
        )
    ]
    await end_jobs(transaction, sorted(hopeless), INTERRUPTED, now=now, sweep_delay=sweep_delay)
    transaction.wake(WORK_CHANNEL)


def _is_idempotent(providers: Mapping[str, Capabilities], name: str) -> bool:
    capabilities = providers.get(name)  # another release's provider is treated with care
    return capabilities is not None and capabilities.is_idempotent
