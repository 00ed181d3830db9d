"""Completed jobs -> pictures. Consumer, rebuild and recovery use it alike: no side effects."""

from collections.abc import Sequence
from uuid import UUID

from msgspec import Struct

from libs.events.envelope import Event
from libs.events.generation import GenerationCompleted
from libs.events.payload import Payload
from libs.runtime.db import Connection
from services.gallery import store
from services.gallery.domain import pictures

CompletedJob = tuple[Event[Payload], GenerationCompleted]


class Added(Struct, frozen=True, gc=False):
    """Jobs that are new, and the keys of objects that were thrown away before they were listed."""

    jobs: list[CompletedJob]
    freed: list[str]


async def add_completed_jobs(connection: Connection, events: Sequence[Event[Payload]]) -> Added:
    """Take in the jobs that were not known yet, in the order of their events.

    The first answer of a job counts, in a batch as in the table; a later one changes nothing.
    """
    jobs: dict[UUID, CompletedJob] = {}
    for event in events:
        if isinstance(event.data, GenerationCompleted):
            jobs.setdefault(event.data.job_id, (event, event.data))
    # Rows are written in one order everywhere, so that two batches never wait for each other.
    in_order = sorted(jobs.values(), key=lambda job: job[1].job_id.int)
    known = await store.confirm_jobs(connection, [pictures.confirmation(*job) for job in in_order])
    added = [job for job_id, job in jobs.items() if not known or job_id not in known]
    await store.add_assets(connection, pictures.distinct_assets(added))
    items = [item for job in added for item in pictures.items(*job)]
    await store.add_items(connection, items)
    freed = await store.settle(connection, [item.id for item in items]) if items else []
    return Added(added, freed)
