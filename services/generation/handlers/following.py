"""Takes a provider's own job to its end: ordered once, written down, and asked about until done."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

from libs.events.generation import FailureCode
from libs.runtime.wakeups import Wakeups
from services.generation.domain.capabilities import Polling
from services.generation.domain.jobs import Claim
from services.generation.domain.references import note
from services.generation.handlers.submissions import Submissions
from services.generation.handlers.webhooks import WEBHOOK_CHANNEL, webhook_key
from services.generation.ports import (
    Pending,
    PollingProvider,
    ProviderError,
    ProviderRequest,
    ProviderResult,
    Submission,
    read_submission,
)

T = TypeVar("T")
logger = structlog.get_logger(__name__)


class Following:
    """What a worker does with a provider that works on its own."""

    def __init__(self, submissions: Submissions, wakeups: Wakeups) -> None:
        self._submissions = submissions
        self._wakeups = wakeups
        self._ordering: set[asyncio.Task[Any]] = set()

    async def result(
        self, provider: PollingProvider, claim: Claim, request: ProviderRequest
    ) -> ProviderResult:
        """The result of the job's order, which an earlier attempt may have placed.

        Raises:
            ProviderError: the order was refused, or has failed.
        """
        if claim.submission is not None:
            submission = read_submission(claim.submission)
            logger.info("polling_resumed", submission=submission.id)
        else:
            submission = await self._unbroken(self._order(provider, claim, request))
        note(submission.id)
        return await self._poll(provider, submission, request)

    async def _order(
        self, provider: PollingProvider, claim: Claim, request: ProviderRequest
    ) -> Submission:
        submission = await provider.submit(request)
        if not await self._submissions.record(claim, submission):
            message = "The generation was interrupted: try it again."
            raise ProviderError(FailureCode.SERVER, message, detail="the attempt was replaced")
        return submission

    async def _unbroken(self, order: Coroutine[Any, Any, T]) -> T:
        """Let an order come to its end although the attempt is stopped: else nobody has its id."""
        task = asyncio.create_task(order, name="order")
        self._ordering.add(task)
        task.add_done_callback(self._ordered)
        return await asyncio.shield(task)

    def _ordered(self, task: asyncio.Task[Any]) -> None:
        self._ordering.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waited has it; of one that nobody waits for it is dropped

    async def _poll(
        self, provider: PollingProvider, submission: Submission, request: ProviderRequest
    ) -> ProviderResult:
        pace = provider.capabilities.polling or Polling()
        key = webhook_key(provider.capabilities.provider, submission.id)
        wait_seconds = pace.first_seconds
        with self._wakeups.listen(WEBHOOK_CHANNEL, key) as wakeup:
            while True:
                rest_seconds = 0.0
                try:
                    state = await provider.poll(submission, request)
                    if not isinstance(state, Pending):
                        return state
                except ProviderError as error:
                    # That it cannot be asked says nothing about the job: the deadline ends this.
                    if error.is_of_the_job or not error.is_transient:
                        raise
                    rest_seconds = error.rest_seconds
                    logger.info("poll_failed", detail=error.detail)
                # It may tell by itself that there is something new; that it does is not relied on.
                await wakeup.wait(max(wait_seconds, rest_seconds))
                wait_seconds = min(pace.seconds_max, wait_seconds * pace.growth)

    async def close(self) -> None:
        """Stop what is still being ordered: what is not written down is an unknown outcome."""
        for task in list(self._ordering):
            task.cancel()
        await asyncio.gather(*self._ordering, return_exceptions=True)
