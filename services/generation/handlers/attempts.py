"""Attempts at jobs: taken with a lease, kept by heartbeats, and ended once."""

from collections.abc import Collection, Mapping
from datetime import timedelta
from random import Random

from msgspec.structs import replace

from libs.events.generation import AttemptOutcome, FailureCode
from libs.runtime.clock import Clock
from libs.runtime.db import Database
from libs.runtime.emitter import Emitter
from libs.runtime.ids import Ids
from libs.runtime.outbox import RELAY_CHANNEL, row_of
from libs.runtime.wakeups import Wakeups
from services.generation.domain import retries
from services.generation.domain.capabilities import Capabilities, Failure
from services.generation.domain.jobs import (
    AttemptState,
    Claim,
    Delivery,
    Spent,
    attempt_ended,
    completed,
    milliseconds,
)
from services.generation.domain.jobs import failed as answer_failed
from services.generation.domain.outcomes import ProviderFailed, StorageFailed
from services.generation.handlers.breakers import Breakers
from services.generation.handlers.metrics import Metrics
from services.generation.handlers.overdue import requeue_or_end
from services.generation.handlers.requests import CANCEL_CHANNEL, DUE_CHANNEL
from services.generation.ports import references_of
from services.generation.store import ends, queue
from services.generation.store.queue import Claimed

NOT_STORED = Failure(
    code=FailureCode.SERVER, message="The picture could not be stored: generate it again."
)


class Attempts:
    """What a worker does with jobs. All but claiming needs the claim's fence to be the newest."""

    def __init__(
        self,
        *,
        database: Database,
        emitter: Emitter,
        wakeups: Wakeups,
        providers: Mapping[str, Capabilities],
        clock: Clock,
        ids: Ids,
        random: Random,
        metrics: Metrics,
        breakers: Breakers,
        lease: timedelta,
        sweep_delay: timedelta,
    ) -> None:
        self._database = database
        self._emitter = emitter
        self._wakeups = wakeups
        self._providers = providers
        self._names = sorted(providers)
        self._clock = clock
        self._ids = ids
        self._random = random
        self._metrics = metrics
        self._breakers = breakers
        self._lease = lease
        self._sweep_delay = sweep_delay

    async def claim(self, worker: str, slots: int) -> Claimed:
        """Take the next jobs: in fair order, within the limits of providers, at most `slots`.

        The claim has committed when this returns, so every call of a provider has its row.
        """
        now = self._clock.now()
        async with self._database.read() as connection:
            return await queue.claim(
                connection,
                self._names,
                [self._ids.new() for _ in range(slots)],
                worker=worker,
                now=now,
                lease_until=now + self._lease,
            )

    async def renew(self, claims: Collection[Claim]) -> list[Claim]:
        """Hold claims for another lease; returns those that are lost."""
        async with self._database.transaction() as transaction:
            held = await queue.renew(
                transaction.connection, claims, self._clock.now() + self._lease
            )
        return [claim for claim in claims if claim.job_id not in held]

    async def complete(self, claim: Claim, delivery: Delivery) -> bool:
        """Decide that the job is done; False when it was not this attempt's any more."""
        answer = self._emitter.event(completed(claim, delivery), cause=claim.requested)
        async with self._database.read() as connection:
            completion = await ends.complete(
                connection, claim, delivery.spent, self._clock.now(), row_of(answer)
            )
        if completion.is_won:
            self._wakeups.wake(RELAY_CHANNEL)
            self._observe(claim, delivery)
            if completion.is_recovering:
                await self._breakers.succeeded(claim.request.provider)
        else:
            await self._mark_late(claim, delivery.spent)
        return completion.is_won

    async def fail(self, claim: Claim, failed: ProviderFailed) -> bool:
        """The provider said no: decide the job, or let it rest before the next attempt."""
        may_retry = retries.may_retry_failure(
            failed.failure.code, claim.tries, is_idempotent=self._is_safe(claim, failed.goes_on)
        )
        return await self._fail(claim, failed, may_retry=may_retry)

    async def fail_to_store(self, claim: Claim, failed: StorageFailed) -> bool:
        """Our own storage said no: the same choice, by another rule."""
        goes_on = self._providers[claim.request.provider].polling is not None
        is_free = not failed.is_asked or self._is_safe(claim, goes_on)
        may_retry = retries.may_retry_trouble(claim.tries, is_free=is_free)
        failure = ProviderFailed(failure=NOT_STORED, spent=failed.spent, goes_on=goes_on)
        return await self._fail(claim, failure, may_retry=may_retry)

    def _is_safe(self, claim: Claim, goes_on: bool) -> bool:
        """Whether another attempt costs nothing: by the provider's promise, or going on."""
        return goes_on or self._providers[claim.request.provider].is_idempotent

    async def _fail(self, claim: Claim, failed: ProviderFailed, *, may_retry: bool) -> bool:
        spent = failed.spent
        async with self._database.transaction() as transaction:
            now = self._clock.now()
            rest_seconds = retries.delay_seconds(claim.tries, self._random.random())
            delay = timedelta(seconds=max(rest_seconds, failed.rest_seconds))
            # The provider wants to rest for longer than the job lasts: waiting helps nobody.
            asked = timedelta(seconds=failed.rest_seconds)
            may_retry = may_retry and (not asked or now + asked < claim.request.deadline_at)
            was_own = await ends.fail(
                transaction.connection,
                claim,
                failed.failure.code,
                spent,
                now=now,
                rest_until=now + delay if may_retry else None,
                sweep_at=now + self._sweep_delay,
                detail=failed.detail,
                goes_on=failed.goes_on,
            )
            if was_own and not may_retry:
                answer = answer_failed(
                    claim.request,
                    failed.failure,
                    queued_ms=milliseconds(claim.queued_at, claim.started_at),
                    spent=spent,
                    attempt_id=claim.attempt_id,
                )
                transaction.publish(answer, cause=claim.requested)
            elif was_own:
                ended = attempt_ended(
                    claim.request,
                    claim.attempt_id,
                    AttemptOutcome.FAILED,
                    started_at=now - timedelta(milliseconds=spent.provider_ms),
                    spent=spent,
                    code=failed.failure.code,
                )
                transaction.publish(ended, cause=claim.requested)
            if was_own:
                await self._breakers.failed(
                    transaction,
                    claim.request.provider,
                    failed.failure.code,
                    rest_seconds=failed.rest_seconds,
                )
                transaction.wake(DUE_CHANNEL)  # a rest may be shorter than a lease
                transaction.wake(CANCEL_CHANNEL)
        if was_own:
            self._count(claim, "retried" if may_retry else "failed")
        else:
            await self._mark_late(claim, spent)
        return was_own

    async def hand_back(self, claims: Collection[Claim]) -> None:
        """Put jobs back that this worker will not finish, for others to take at once."""
        for is_idempotent in (True, False):
            some = [
                (claim.job_id, claim.fence)
                for claim in claims
                if self._providers[claim.request.provider].is_idempotent is is_idempotent
            ]
            if not some:
                continue
            async with self._database.transaction() as transaction:
                now = self._clock.now()
                await ends.lock_shares_of_jobs(transaction.connection, [job for job, _ in some])
                released = await ends.release(
                    transaction.connection,
                    some,
                    state=AttemptState.HANDED_BACK,
                    counts=not is_idempotent,  # its call may have been made and billed
                    is_own=True,
                    now=now,
                    sweep_at=now + self._sweep_delay,
                )
                await requeue_or_end(
                    transaction,
                    released,
                    self._providers,
                    outcome=AttemptOutcome.HANDED_BACK,
                    now=now,
                    sweep_delay=self._sweep_delay,
                )
        for claim in claims:
            self._count(claim, "handed_back")

    async def abandon(self, claim: Claim) -> None:
        """The job was taken away while its attempt ran, and the attempt has been stopped."""
        await self._mark_late(claim, Spent())

    async def _mark_late(self, claim: Claim, spent: Spent) -> None:
        async with self._database.transaction() as transaction:
            now = self._clock.now()
            late = await ends.mark_late(
                transaction.connection,
                claim.attempt_id,
                spent,
                now=now,
                sweep_at=now + self._sweep_delay,
            )
            if late is not None:
                references = spent.references or references_of(late.submission)
                ended = attempt_ended(
                    claim.request,
                    claim.attempt_id,
                    AttemptOutcome.LATE,
                    started_at=late.started_at,
                    spent=replace(spent, references=references),
                )
                transaction.publish(ended, cause=claim.requested)
        self._count(claim, "late")

    def _observe(self, claim: Claim, delivery: Delivery) -> None:
        self._count(claim, "won")
        phases = {
            "queued": milliseconds(claim.queued_at, claim.started_at),
            "provider": delivery.spent.provider_ms,
            "upload": delivery.upload_ms,
        }
        for phase, spent_ms in phases.items():
            histogram = self._metrics.phase_seconds.labels(claim.request.provider, phase)
            histogram.observe(spent_ms / 1000)

    def _count(self, claim: Claim, outcome: str) -> None:
        self._metrics.attempts.labels(claim.request.provider, outcome).inc()
