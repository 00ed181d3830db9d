"""Reading jobs: once, or as a stream of server-sent events."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any, Final
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Header, Query, Response
from starlette.responses import StreamingResponse

from libs.runtime.auth import Principal
from libs.runtime.clock import Clock
from libs.runtime.http import JsonResponse
from libs.runtime.http.as_of import past_by
from libs.runtime.paging import Position, decode_cursor, page
from services.gateway.api.bodies import OPERATIONS_OF, JobBody, JobType
from services.gateway.api.callers import Callers
from services.gateway.api.views import JobViews
from services.gateway.domain import jobs
from services.gateway.domain.jobs import Status
from services.gateway.handlers.errors import JobNotFound
from services.gateway.handlers.generations import Generations
from services.gateway.handlers.streams import Stream, Streams, Told
from services.gateway.store.feed import Listener

PAGE_MAX: Final = 200

_RECONNECT_MS: Final = 2_000
_HEARTBEAT: Final = b": still here\n\n"
_NOT_A_POSITION: Final = -1
_STREAM_HEADERS: Final = {
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",  # a proxy that collects an answer would hold the events back
}
_STREAM_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"text/event-stream": {}}, "description": "Events until the job has ended"},
    204: {"description": "The job has ended, and everything was told before"},
}

LastEventId = Annotated[
    str | None, Header(alias="Last-Event-ID", description="Resume behind this event.")
]
LastEventIdInQuery = Annotated[
    str | None, Query(alias="last_event_id", description="The same, for a new EventSource.")
]


def create_router(
    generations: Generations, streams: Streams, views: JobViews, clock: Clock, callers: Callers
) -> APIRouter:
    """The routes of `/api/jobs/{id}`."""
    router = APIRouter(prefix="/api/jobs", tags=["jobs"])
    Caller = Annotated[Principal, Depends(callers.known)]  # noqa: N806  # a type, made at start
    AsOf = Annotated[datetime | None, Depends(past_by(clock))]  # noqa: N806  # as above

    _add_list(router, generations, views, callers)

    @router.delete("/{job_id}", status_code=202, response_model=JobBody)
    @router.post("/{job_id}/cancel", status_code=202, response_model=JobBody)
    async def cancel_job(job_id: str, caller: Caller) -> Response:
        """Ask for a job's end: it shows when that is decided. One that has ended stays as it is."""
        job = await generations.cancel(_job_id(job_id), caller.user_id)
        return JsonResponse(
            views.job(job, job.state), status_code=200 if job.state.is_final else 202
        )

    @router.get("/{job_id}", response_model=JobBody)
    async def read_job(job_id: str, caller: Caller, as_of: AsOf) -> Response:
        """A job of the caller, now or as it stood."""
        job = await generations.find(_job_id(job_id), caller.user_id)
        if as_of is None:
            return JsonResponse(views.job(job, job.state))
        if job.created_at > as_of:
            raise JobNotFound
        return JsonResponse(views.job(job, jobs.as_of(job.state, as_of)))

    @router.get("/{job_id}/events", response_class=StreamingResponse, responses=_STREAM_ANSWERS)
    async def follow_job(
        job_id: str,
        caller: Caller,
        last_event_id: LastEventId = None,
        last_event_id_in_query: LastEventIdInQuery = None,
    ) -> Response:
        """What happens to a job, as it happens: a snapshot first, or what came after an event."""
        after = _position(last_event_id or last_event_id_in_query)
        listener = Listener(
            user_id=caller.user_id,
            api_key_id=caller.api_key_id,
            session_epoch=caller.session_epoch,
        )
        stream = await streams.open(_job_id(job_id), listener, after=after, until=caller.expires_at)
        if stream is None:
            return Response(status_code=204)  # tells a browser not to come back
        return StreamingResponse(
            _encoded(stream, views), media_type="text/event-stream", headers=_STREAM_HEADERS
        )

    return router


def _add_list(
    router: APIRouter, generations: Generations, views: JobViews, callers: Callers
) -> None:
    Caller = Annotated[Principal, Depends(callers.known)]  # noqa: N806  # a type, made at start

    @router.get("", response_model=list[JobBody])
    async def list_jobs(
        caller: Caller,
        limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 50,
        cursor: Annotated[str | None, Query(description="From the header `Link`.")] = None,
        kind: Annotated[JobType | None, Query(alias="type")] = None,
        status: Annotated[Status | None, Query()] = None,
    ) -> Response:
        """The caller's jobs, the newest first; the next page stands in the header `Link`."""
        rows = await generations.list(
            caller.user_id,
            after=decode_cursor(cursor),
            operations=kind and OPERATIONS_OF[kind],
            status=status,
            limit=limit + 1,
        )
        listed = page(rows, limit, lambda job: Position(job.created_at, job.job_id))
        headers = {}
        if listed.next_cursor is not None:
            wishes = {"type": kind, "status": status and status.value}
            said = {name: value for name, value in wishes.items() if value}
            query = urlencode({**said, "limit": limit, "cursor": listed.next_cursor})
            headers["Link"] = f'</api/jobs?{query}>; rel="next"'
        return JsonResponse([views.job(job, job.state) for job in listed.rows], headers=headers)


async def _encoded(stream: Stream, views: JobViews) -> AsyncIterator[bytes]:
    yield b"retry: %d\n\n" % _RECONNECT_MS
    async for told in stream.events():
        yield _HEARTBEAT if told is None else _event(told, views)


def _event(told: Told, views: JobViews) -> bytes:
    body = views.job(told.job, told.state).model_dump(mode="json", by_alias=True)
    data = msgspec.json.encode(body)  # one line: JSON escapes line ends
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (told.position, told.kind.encode(), data)


def _position(text: str | None) -> int | None:
    """The feed position in an event id. What never was one is answered by a resync."""
    if not text:
        return None
    is_number = text.isascii() and text.isdigit() and len(text) <= 18
    return int(text) if is_number else _NOT_A_POSITION


def _job_id(text: str) -> UUID:
    """An id that is none belongs to no job."""
    try:
        return UUID(text)
    except ValueError:
        raise JobNotFound from None
