"""Completed jobs -> pictures. The live consumer and a rebuild use it alike: no side effects."""

from collections.abc import Sequence
from uuid import UUID

from libs.events.envelope import Event
from libs.events.generation import GenerationCompleted
from libs.events.payload import Payload
from libs.runtime.db import Connection
from services.gallery import store
from services.gallery.domain import pictures

CompletedJob = tuple[Event[Payload], GenerationCompleted]


async def add_completed_jobs(
    connection: Connection, events: Sequence[Event[Payload]]
) -> list[CompletedJob]:
    """Take in the jobs that were not known yet, and return them in the order of their events.

    The first answer of a job counts, in a batch as in the table; a later one changes nothing.
    """
    jobs: dict[UUID, CompletedJob] = {}
    for event in events:
        if isinstance(event.data, GenerationCompleted):
            jobs.setdefault(event.data.job_id, (event, event.data))
    # Rows are written in one order everywhere, so that two batches never wait for each other.
    new_ids = await store.confirm_jobs(
        connection, [pictures.confirmation(*jobs[job_id]) for job_id in sorted(jobs)]
    )
    added = [job for job_id, job in jobs.items() if job_id in new_ids]
    await store.add_assets(connection, pictures.distinct_assets(added))
    await store.add_items(connection, [item for job in added for item in pictures.items(*job)])
    return added
