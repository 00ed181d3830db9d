"""Streams of server-sent events, and the tickets that open them."""

from collections.abc import AsyncGenerator
from contextlib import ExitStack, aclosing
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Response
from msgspec import Struct
from starlette.responses import StreamingResponse

from libs.runtime.auth import Principal
from libs.runtime.http.bodies import Body
from libs.runtime.http.event_stream import EventStream
from services.gateway.api.callers import Callers
from services.gateway.api.jobs import job_id_of
from services.gateway.api.pushes import Pushes, position_of
from services.gateway.handlers.flood import FloodGate
from services.gateway.handlers.slots import Slots
from services.gateway.handlers.streams import Stream, Streams
from services.gateway.handlers.tickets import StreamTickets
from services.gateway.store.feed import Listener

_STREAM_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"text/event-stream": {}}, "description": "Events, until there are no more"},
    204: {"description": "The job has ended, and everything was told before"},
}

LastEventId = Annotated[
    str | None, Header(alias="Last-Event-ID", description="Resume behind this event.")
]
LastEventIdInQuery = Annotated[
    str | None, Query(alias="last_event_id", description="The same, for a new EventSource.")
]


class TicketRequest(Body):
    stream: str | None = None


class TicketBody(Body):
    """To be shown as `?ticket=` at the stream: within a minute, and until then when coming back."""

    ticket: str
    expires_at: datetime


class Desk(Struct, frozen=True, kw_only=True):
    """What streams are made of."""

    streams: Streams
    slots: Slots
    pushes: Pushes
    gate: FloodGate  # for what is said over a socket


def create_router(desk: Desk, tickets: StreamTickets, callers: Callers) -> APIRouter:
    """The routes of streams."""
    router = APIRouter(tags=["streams"])
    Caller = Annotated[Principal, Depends(callers.listener)]  # noqa: N806  # a type, made at start
    Person = Annotated[Principal, Depends(callers.person)]  # noqa: N806  # as above

    @router.post("/api/stream-tickets", status_code=201, tags=["streams"])
    async def issue_ticket(body: TicketRequest, person: Person) -> TicketBody:
        """A ticket for a stream, named by its path: a browser can send no header there."""
        ticket, ends_at = await tickets.issue(person, body.stream)
        return TicketBody(ticket=ticket, expires_at=ends_at)

    @router.get("/api/events", response_class=StreamingResponse, responses=_STREAM_ANSWERS)
    async def follow_everything(
        caller: Caller,
        last_event_id: LastEventId = None,
        last_event_id_in_query: LastEventIdInQuery = None,
    ) -> Response:
        """What happens to the caller's jobs, gallery and balance, as it happens.

        First a snapshot of the balance and the jobs under way, or what came after an event.
        """
        return await _follow(desk, caller, None, last_event_id or last_event_id_in_query)

    @router.get(
        "/api/jobs/{job_id}/events", response_class=StreamingResponse, responses=_STREAM_ANSWERS
    )
    async def follow_job(
        job_id: str,
        caller: Caller,
        last_event_id: LastEventId = None,
        last_event_id_in_query: LastEventIdInQuery = None,
    ) -> Response:
        """What happens to a job, as it happens: a snapshot first, or what came after an event."""
        after = last_event_id or last_event_id_in_query
        return await _follow(desk, caller, job_id_of(job_id), after)

    return router


def listener_of(caller: Principal) -> Listener:
    """Who listens, as every look at the feed asks again."""
    return Listener(
        user_id=caller.user_id, api_key_id=caller.api_key_id, session_epoch=caller.session_epoch
    )


async def _follow(
    desk: Desk, caller: Principal, job_id: UUID | None, after: str | None
) -> Response:
    with ExitStack() as held:
        held.enter_context(desk.slots.taken(caller.user_id))
        stream = await desk.streams.open(
            job_id, listener_of(caller), after=position_of(after), until=caller.expires_at
        )
        if stream is None:
            return Response(status_code=204)  # tells a browser not to come back
        return EventStream(_encoded(stream, desk.pushes), on_end=held.pop_all().close)


async def _encoded(stream: Stream, pushes: Pushes) -> AsyncGenerator[bytes, None]:
    async with aclosing(stream.events()) as events:
        async for told in events:
            yield pushes.sse(told)
