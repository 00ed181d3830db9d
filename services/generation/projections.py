"""Recorded events -> the history of the queue. Live, handlers write it as they decide."""

from collections.abc import Sequence
from typing import cast
from uuid import UUID

from libs.events.envelope import Event
from libs.events.generation import GenerationCompleted, GenerationFailed, GenerationRequested
from libs.events.payload import Payload
from libs.runtime.db import Connection
from services.generation.store import history

Answer = Event[GenerationCompleted] | Event[GenerationFailed]


async def remember_requests(connection: Connection, events: Sequence[Event[Payload]]) -> None:
    """What was asked for, each job once."""
    await history.remember(
        connection,
        [
            cast("Event[GenerationRequested]", event)
            for event in events
            if isinstance(event.data, GenerationRequested)
        ],
    )


async def decide_jobs(connection: Connection, events: Sequence[Event[Payload]]) -> None:
    """How jobs ended: the first answer of each counts, in a batch as in the table."""
    answers: dict[UUID, Answer] = {}
    for event in events:
        if isinstance(event.data, GenerationCompleted | GenerationFailed):
            answers.setdefault(event.data.job_id, cast("Answer", event))
    await history.decide(connection, [answers[job_id] for job_id in sorted(answers)])
