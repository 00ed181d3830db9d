"""The jobs that providers have of ours: written down before anything else, and called off."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec
import structlog

from libs.runtime.clock import Clock
from libs.runtime.db import Database
from libs.runtime.faults import Backoff, is_deterministic
from services.generation.domain.jobs import Claim
from services.generation.handlers.requests import CANCEL_CHANNEL
from services.generation.ports import (
    AnyProvider,
    PollingProvider,
    ProviderError,
    Submission,
    read_submission,
)
from services.generation.store import submissions
from services.generation.store.submissions import Unwanted

BATCH = 50
AGAIN = timedelta(seconds=30)  # after a call that did not get through

logger = structlog.get_logger(__name__)


class Submissions:
    """Notes of providers' jobs, in the attempts' own rows."""

    def __init__(
        self, database: Database, providers: Mapping[str, AnyProvider], clock: Clock
    ) -> None:
        self._database = database
        self._providers = providers
        self._clock = clock

    async def record(self, claim: Claim, submission: Submission) -> bool:
        """Note what the provider has taken, whatever outage it takes to wait for.

        False when the attempt is not the job's any more: then the note itself has it called off.
        """
        encoded = msgspec.json.encode(submission)
        backoff = Backoff()
        while True:
            try:
                async with self._database.transaction() as transaction:
                    now = self._clock.now()
                    is_running = await submissions.record(
                        transaction.connection, claim.attempt_id, encoded, now
                    )
                    if not is_running:
                        transaction.wake(CANCEL_CHANNEL)
            except Exception as error:
                if is_deterministic(error):
                    raise
                logger.warning("submission_waits", error=repr(error))
                await self._clock.sleep(backoff.next_seconds(0.5))
            else:
                return is_running

    async def next_at(self) -> datetime | None:
        """When the next job is to be called off."""
        async with self._database.read() as connection:
            return await submissions.next_cancel(connection)

    async def work(self) -> None:
        """Call off all that nobody waits for; one that cannot be told now comes again."""
        while await self._cancel_some() == BATCH:
            pass

    async def _cancel_some(self) -> int:
        now = self._clock.now()
        async with self._database.transaction() as transaction:
            taken = await submissions.take_cancels(
                transaction.connection, now=now, again_at=now + AGAIN, limit=BATCH
            )
        done = [each.id for each in taken if await self._cancel(each)]
        if done:
            async with self._database.transaction() as transaction:
                await submissions.close(transaction.connection, done)
        return len(taken)

    async def _cancel(self, unwanted: Unwanted) -> bool:
        provider = self._providers.get(unwanted.provider)
        if not isinstance(provider, PollingProvider):
            return True  # another release's: nobody here could call it off
        try:
            await provider.cancel(read_submission(unwanted.submission))
        except ProviderError as error:
            logger.info("cancel_failed", provider=unwanted.provider, detail=error.detail)
            return not error.is_transient
        logger.info("provider_job_cancelled", provider=unwanted.provider)
        return True
