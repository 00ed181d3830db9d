"""What generation does when the gateway has spoken: queue what it asks for, end what it cancels."""

from collections.abc import Sequence
from uuid import UUID

from libs.events.envelope import Event
from libs.events.generation import GenerationCancelRequested, GenerationRequested
from libs.events.identity import AccountErased
from libs.events.names import EventType, Topic
from libs.events.payload import Payload
from libs.runtime import erasure
from libs.runtime.consumer import Handler
from libs.runtime.db import Transaction
from libs.runtime.recovery import History
from services.generation.handlers import recovery
from services.generation.handlers.requests import Requests

TOPICS = (Topic.IDENTITY, Topic.GENERATION)
EVENT_TYPES = (
    EventType.ACCOUNT_ERASED,
    EventType.GENERATION_REQUESTED,
    EventType.GENERATION_CANCEL_REQUESTED,
)

HISTORY = History(
    own=(Topic.GENERATION,),
    answers=(EventType.GENERATION_COMPLETED, EventType.GENERATION_FAILED),
    fold=recovery.remember,
    inputs=(Topic.GENERATION,),
    fold_input=recovery.remember_requests,
)


def take_in(requests: Requests) -> Handler:
    """The handler of the gateway's events. A job's request comes before its cancellation."""

    async def handle(transaction: Transaction, events: Sequence[Event[Payload]]) -> None:
        asked: list[Event[GenerationRequested]] = []
        cancelled: list[Event[GenerationCancelRequested]] = []
        gone: list[UUID] = []
        for event in events:
            match event.data:
                case GenerationRequested():
                    asked.append(event)  # type: ignore[arg-type]  # narrowed by its data
                case GenerationCancelRequested():
                    cancelled.append(event)  # type: ignore[arg-type]  # narrowed by its data
                case AccountErased(account_id=account_id):
                    gone.append(account_id)
        if asked:
            erased = await erasure.erased(transaction, events)
            await requests.enqueue(transaction, asked, erased)
        if gone:
            await requests.forget(transaction, sorted(gone))
        if cancelled:
            await requests.cancel(transaction, cancelled)

    return handle
