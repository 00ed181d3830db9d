"""Finished jobs -> usage rows. The live consumer and a rebuild use it alike: no side effects."""

from collections.abc import Sequence
from uuid import UUID

from libs.events.envelope import Event
from libs.events.payload import Payload
from libs.runtime.db import Connection
from services.billing.domain.usage import Usage, usage_of
from services.billing.store import usage as store

RecordedUsage = tuple[Event[Payload], Usage]


async def record_finished_jobs(
    connection: Connection, events: Sequence[Event[Payload]]
) -> list[RecordedUsage]:
    """Record the jobs that were not known yet, and return them in the order of their events.

    The first answer of a job counts, in a batch as in the table; a later one changes nothing.
    """
    jobs: dict[UUID, RecordedUsage] = {}
    for event in events:
        usage = usage_of(event)
        if usage is not None:
            jobs.setdefault(usage.job_id, (event, usage))
    # Rows are written in one order everywhere, so that two batches never wait for each other.
    usages = sorted((usage for _, usage in jobs.values()), key=lambda each: each.job_id.int)
    known = await store.record_usage(connection, usages)
    return [job for job_id, job in jobs.items() if not known or job_id not in known]
