"""Finished jobs -> usage rows; attempts that decided no job -> rows of their own.

The live consumer and a rebuild use it alike: no side effects.
"""

from collections.abc import Sequence

from libs.events.envelope import Event
from libs.events.payload import Payload
from libs.runtime.db import Connection
from services.billing.domain.attempts import ended_attempts
from services.billing.domain.usage import Usage, usage_of
from services.billing.store import attempts
from services.billing.store import usage as store

RecordedUsage = tuple[Event[Payload], Usage]


async def record_finished_jobs(
    connection: Connection, events: Sequence[Event[Payload]]
) -> list[RecordedUsage]:
    """Record the jobs that were not known yet, and return them in the order of their events.

    The first answer of a job counts, in a batch as in the table; a later one changes nothing.
    """
    jobs: dict[int, RecordedUsage] = {}  # by the id's number, which is cheaper to find and to order
    for event in events:
        usage = usage_of(event)
        if usage is not None:
            jobs.setdefault(usage.job_id.int, (event, usage))
    # Rows are written in one order everywhere, so that two batches never wait for each other.
    known = await store.record_usage(connection, [jobs[number][1] for number in sorted(jobs)])
    return [job for job in jobs.values() if not known or job[1].job_id not in known]


async def record_attempts(connection: Connection, events: Sequence[Event[Payload]]) -> None:
    """Record the attempts that are told of by themselves."""
    await attempts.record_attempts(connection, ended_attempts(events))


async def record_all(connection: Connection, events: Sequence[Event[Payload]]) -> None:
    """What follows from a batch of generation's events, without telling anybody."""
    await record_attempts(connection, events)
    await record_finished_jobs(connection, events)
