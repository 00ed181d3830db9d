"""Requests that an administrator gives up: their jobs end, answered from the envelope alone."""

from libs.events.generation import FailureCode, GenerationFailed
from libs.events.names import EventType
from libs.runtime.clock import Clock
from libs.runtime.db import Transaction
from libs.runtime.deadletters import Discarded
from services.generation.domain.jobs import JobState
from services.generation.store import queue
from services.generation.store.queue import NewJob

MESSAGE = "The generation could not be processed."
NO_PROVIDER = ""  # of a job that was never read


class Discards:
    """What has to be finished when a message is discarded."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def settle(self, transaction: Transaction, discarded: Discarded) -> None:
        """Fail the job of a request, unless it was taken in under another event id.

        The job's row makes the answer the only one: a repeat of the request finds it decided.
        What is not a job of ours, without an account or the id of a job, nobody waits for.
        """
        envelope = discarded.envelope
        if envelope is None or envelope.type != EventType.GENERATION_REQUESTED.value:
            return
        job_id = discarded.subject_id
        if job_id is None or envelope.accountid is None:
            return
        now = self._clock.now()
        job = NewJob(
            id=job_id,
            account_id=envelope.accountid,
            provider=NO_PROVIDER,
            cost=0,
            requested=discarded.row.encoded or b"",
            state=JobState.FAILED,
            queued_at=now,
            deadline_at=now,
            decided_at=now,
            failure_code=FailureCode.UNPROCESSABLE,
        )
        if job_id in await queue.enqueue(transaction.connection, [job]):
            answer = GenerationFailed(
                job_id=job_id,
                account_id=envelope.accountid,
                request=None,
                code=FailureCode.UNPROCESSABLE,
                message=MESSAGE,
            )
            transaction.publish(
                answer,
                correlation_id=envelope.correlationid,
                causation_id=envelope.id,
                traceparent=envelope.traceparent,
            )
