"""Reading jobs, and asking for their end."""

from datetime import datetime
from typing import Annotated, Final
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response

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
from services.gateway.handlers.forecasts import Forecasts
from services.gateway.handlers.generations import Generations

PAGE_MAX: Final = 200


def create_router(
    generations: Generations,
    forecasts: Forecasts,
    views: JobViews,
    clock: Clock,
    callers: Callers,
) -> APIRouter:
    """The routes of `/api/jobs`, apart from what starts jobs and what follows them."""
    router = APIRouter(prefix="/api/jobs", tags=["jobs"])
    Caller = Annotated[Principal, Depends(callers.known)]  # noqa: N806  # a type, made at start
    AsOf = Annotated[datetime | None, Depends(past_by(clock))]  # noqa: N806  # as above

    _add_list(router, generations, views, callers)

    @router.delete("/{job_id}", status_code=202, response_model=JobBody)
    @router.post("/{job_id}/cancel", status_code=202, response_model=JobBody)
    async def cancel_job(job_id: str, caller: Caller) -> Response:
        """Ask for a job's end: it shows when that is decided. One that has ended stays as it is."""
        job = await generations.cancel(job_id_of(job_id), caller.user_id)
        return JsonResponse(
            views.job(job, job.state), status_code=200 if job.state.is_final else 202
        )

    @router.get("/{job_id}", response_model=JobBody)
    async def read_job(job_id: str, caller: Caller, as_of: AsOf) -> Response:
        """A job of the caller, now or as it stood."""
        job = await generations.find(job_id_of(job_id), caller.user_id)
        if as_of is None:
            return JsonResponse(views.job(job, job.state, await forecasts.of(job)))
        if job.created_at > as_of:
            raise JobNotFound
        return JsonResponse(views.job(job, jobs.as_of(job.state, as_of)))

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


def job_id_of(text: str) -> UUID:
    """An id that is none belongs to no job."""
    try:
        return UUID(text)
    except ValueError:
        raise JobNotFound from None
