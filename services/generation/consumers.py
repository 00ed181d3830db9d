"""What generation does when the gateway has spoken: queue what it asks for, end what it cancels."""

from collections.abc import Sequence

from libs.events.envelope import Event
from libs.events.generation import GenerationCancelRequested, GenerationRequested
from libs.events.names import EventType, Topic
from libs.events.payload import Payload
from libs.runtime.consumer import Handler
from libs.runtime.db import Transaction
from libs.runtime.recovery import History
from services.generation import projections
from services.generation.handlers.requests import Requests

TOPICS = (Topic.GENERATION,)
EVENT_TYPES = (EventType.GENERATION_REQUESTED, EventType.GENERATION_CANCEL_REQUESTED)

HISTORY = History(
    own=(Topic.GENERATION,),
    answers=(EventType.GENERATION_COMPLETED, EventType.GENERATION_FAILED),
    fold=projections.remember,
    inputs=(Topic.GENERATION,),
    fold_input=projections.remember_requests,
)


def take_in(requests: Requests) -> Handler:
    """The handler of the gateway's events. A job's request comes before its cancellation."""

    async def handle(transaction: Transaction, events: Sequence[Event[Payload]]) -> None:
        asked: list[Event[GenerationRequested]] = []
        cancelled: list[Event[GenerationCancelRequested]] = []
        for event in events:
            match event.data:
                case GenerationRequested():
                    asked.append(event)  # type: ignore[arg-type]  # narrowed by its data
                case GenerationCancelRequested():
                    cancelled.append(event)  # type: ignore[arg-type]  # narrowed by its data
        if asked:
            await requests.enqueue(transaction, asked)
        if cancelled:
            await requests.cancel(transaction, cancelled)

    return handle
