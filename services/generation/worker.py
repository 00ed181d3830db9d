"""Takes jobs from the queue as slots come free, runs each attempt, and keeps their leases alive."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never
from uuid import UUID

import structlog
from msgspec import Struct
from structlog.contextvars import bound_contextvars

from libs.events.generation import FailureCode
from libs.runtime.clock import Clock
from libs.runtime.faults import Backoff, is_deterministic
from libs.runtime.wakeups import Wakeup, Wakeups
from services.generation.domain.capabilities import Failure
from services.generation.domain.jobs import Claim, Delivery
from services.generation.domain.outcomes import Outcome, ProviderFailed, StorageFailed
from services.generation.handlers.attempts import Attempts
from services.generation.handlers.execution import Execution
from services.generation.handlers.progress import Progress
from services.generation.handlers.requests import WORK_CHANNEL
from services.generation.store.queue import Claimed

SAFETY_SECONDS = 30.0  # a crash may fall between a commit and its wake-up
SHORT_SECONDS = 0.02  # between two claims for jobs that a provider's pace lets begin

UNTELLABLE = Failure(
    code=FailureCode.BAD_OUTPUT, message="The provider answered with more than can be passed on."
)

logger = structlog.get_logger(__name__)


class Limits(Struct, frozen=True, kw_only=True):
    """How much a worker takes on, and for how long it holds it."""

    slots: int
    lease_seconds: float
    grace_seconds: float


@dataclass
class Held:
    """An attempt that runs here."""

    claim: Claim
    task: asyncio.Task[None] | None = None
    is_deciding: bool = False  # from here on the database alone says whether it is too late
    is_given_up: bool = False  # somebody else has the job now


class Worker:
    """One process's share of the work. Nothing it remembers decides anything."""

    def __init__(
        self,
        *,
        name: str,
        attempts: Attempts,
        execution: Execution,
        progress: Progress,
        wakeups: Wakeups,
        clock: Clock,
        limits: Limits,
    ) -> None:
        self._name = name
        self._attempts = attempts
        self._execution = execution
        self._progress = progress
        self._wakeups = wakeups
        self._clock = clock
        self._limits = limits
        self._held: dict[UUID, Held] = {}
        self._is_behind = False  # jobs may wait for what comes free here
        self._again_at: datetime | None = None  # jobs may wait for their provider's pace
        self._is_draining = False

    async def run(self) -> None:
        """Work until cancelled; then finish what is running, or hand it back."""
        with self._wakeups.listen(WORK_CHANNEL) as wakeup:
            heartbeat = asyncio.create_task(self._keep_leases(), name="heartbeat")
            try:
                await self._take(wakeup)
            finally:
                await self._drain()
                heartbeat.cancel()
                await asyncio.gather(heartbeat, return_exceptions=True)
                await self._progress.close()
                await self._execution.close()

    async def _take(self, wakeup: Wakeup) -> None:
        backoff = Backoff()
        while True:
            try:
                await self._fill(wakeup)
            except Exception as error:  # noqa: BLE001  # the database is away: wait for it
                logger.warning("claim_failed", error=repr(error))
                await self._clock.sleep(backoff.next_seconds(0.5))
            else:
                backoff.reset()
                await wakeup.wait(self._seconds_to_wait())

    async def _fill(self, wakeup: Wakeup) -> None:
        """Take as many jobs as there are free slots, and start on them."""
        self._is_behind = True  # what comes free meanwhile, a claim under way may not see
        self._again_at = None
        free = self._limits.slots - len(self._held)
        if free == 0:
            return
        claiming = asyncio.create_task(self._attempts.claim(self._name, free), name="claim")
        try:
            claimed = await asyncio.shield(claiming)
        except asyncio.CancelledError:
            # Told to stop while claiming: what was taken meanwhile is handed back with the rest.
            for claim in await self._claims_of(claiming):
                self._held[claim.attempt_id] = Held(claim)
            raise
        self._is_behind = claimed.is_behind
        self._again_at = claimed.again_at
        for claim in claimed.claims:
            held = self._held[claim.attempt_id] = Held(claim)
            held.task = asyncio.create_task(self._attempt(held, wakeup), name="attempt")

    def _seconds_to_wait(self) -> float:
        if self._again_at is None:
            return SAFETY_SECONDS
        left = (self._again_at - self._clock.now()).total_seconds()
        return min(SAFETY_SECONDS, max(SHORT_SECONDS, left))

    @staticmethod
    async def _claims_of(claiming: "asyncio.Task[Claimed]") -> list[Claim]:
        try:
            return (await claiming).claims
        except Exception as error:  # noqa: BLE001  # it must not take the place of the stop
            logger.warning("claim_failed", error=repr(error))
            return []

    async def _attempt(self, held: Held, wakeup: Wakeup) -> None:
        claim = held.claim
        try:
            with bound_contextvars(job_id=str(claim.job_id), provider=claim.request.provider):
                await self._run(held)
        except Exception:  # its lease will run out, and another attempt follows
            logger.exception("attempt_broken", job_id=str(claim.job_id))
        finally:
            self._held.pop(claim.attempt_id, None)
            self._tell_of_room(wakeup)

    async def _run(self, held: Held) -> None:
        try:
            with self._progress.of(held.claim):
                outcome = await self._execution.run(held.claim)
        except asyncio.CancelledError:
            if held.is_given_up:
                await self._attempts.abandon(held.claim)
            raise
        held.is_deciding = True
        await self._decide(held.claim, outcome)

    def _tell_of_room(self, wakeup: Wakeup) -> None:
        """A slot and a call have come free: for the jobs that wait for them, if any do.

        Jobs that come from now on bring wake-ups of their own.
        """
        if self._is_draining:
            self._wakeups.wake(WORK_CHANNEL)  # others have to take them
        elif self._is_behind:
            wakeup.fire()

    async def _decide(self, claim: Claim, outcome: Outcome) -> None:
        """Bring the outcome into the database, whatever outage it takes to wait for."""
        backoff = Backoff()
        while True:
            try:
                await self._conclude(claim, outcome)
            except Exception as error:
                if not is_deterministic(error):
                    logger.warning("decision_waits", error=repr(error))
                    await self._clock.sleep(backoff.next_seconds(0.5))
                elif isinstance(outcome, Delivery):
                    logger.exception("delivery_cannot_be_told")
                    outcome = ProviderFailed(failure=UNTELLABLE, spent=outcome.spent)
                else:
                    raise
            else:
                return

    async def _conclude(self, claim: Claim, outcome: Outcome) -> None:
        match outcome:
            case Delivery():
                await self._attempts.complete(claim, outcome)
            case ProviderFailed():
                await self._attempts.fail(claim, outcome)
            case StorageFailed():
                await self._attempts.fail_to_store(claim, outcome)
            case _:
                assert_never(outcome)

    async def _keep_leases(self) -> None:
        """Renew all leases together, three times in each; stop attempts that are not ours now."""
        while True:
            await self._clock.sleep(self._limits.lease_seconds / 3)
            try:
                if claims := [held.claim for held in self._held.values()]:
                    for claim in await self._attempts.renew(claims):
                        self._give_up(claim)
            except Exception as error:  # noqa: BLE001  # the fence keeps an expired lease harmless
                logger.warning("leases_not_renewed", error=repr(error))

    def _give_up(self, claim: Claim) -> None:
        """Stop an attempt without waiting for its end: other leases would run out meanwhile."""
        held = self._held.get(claim.attempt_id)
        if held is None or held.task is None or held.is_deciding or held.is_given_up:
            return
        logger.info("attempt_stopped", job_id=str(claim.job_id))
        held.is_given_up = True
        held.task.cancel()

    async def _drain(self) -> None:
        """Let attempts finish for a while, then hand back the jobs of those that have not."""
        self._is_draining = True
        tasks = [held.task for held in self._held.values() if held.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=self._limits.grace_seconds)
        left = list(self._held.values())
        unfinished = [held.task for held in left if held.task is not None]
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)
        if not left:
            return
        try:
            await self._attempts.hand_back([held.claim for held in left])
        except Exception as error:  # noqa: BLE001  # then their leases run out
            logger.warning("hand_back_failed", error=repr(error))
