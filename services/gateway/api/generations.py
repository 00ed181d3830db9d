"""Asking for pictures: `/api/jobs` answers at once, the older routes wait for the same job."""

from datetime import timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Response, status
from msgspec import Struct

from libs.runtime.auth import Principal
from libs.runtime.http import JsonResponse
from services.gateway.api.bodies import AcceptedBody, GeneratedBody, GenerationBody, JobRequest
from services.gateway.api.callers import Callers
from services.gateway.api.costing import CostingRoute
from services.gateway.api.rate_limits import headers_of
from services.gateway.api.views import JobViews
from services.gateway.domain.admission import Payer
from services.gateway.domain.catalogue import PROVIDERS
from services.gateway.domain.orders import Draft, place
from services.gateway.domain.text import InvalidRequestError, is_storable
from services.gateway.handlers.admissions import Accepted
from services.gateway.handlers.assets import inline
from services.gateway.handlers.errors import InvalidRequest
from services.gateway.handlers.generations import Generations, Quote
from services.gateway.ports import Owners

KEY_CHARS_MAX: Final = 255

IdempotencyKey = Annotated[
    str | None,
    Header(alias="Idempotency-Key", description="A repeat under the same key makes no second job."),
]
Prefer = Annotated[
    str | None, Header(description="`respond-async`: answer 202 at once instead of waiting.")
]

_ASYNC: Final[dict[int | str, dict[str, Any]]] = {
    status.HTTP_202_ACCEPTED: {"model": AcceptedBody, "description": "Accepted"}
}


class Desk(Struct, frozen=True, kw_only=True):
    """What all of these routes do: hand an order in, and answer with its job or its picture."""

    generations: Generations
    owners: Owners
    views: JobViews
    patience: timedelta

    async def submit(
        self,
        caller: Principal,
        draft: Draft,
        route: str,
        key: str | None,
        *,
        needs_model: bool = False,
        book_version: int | None = None,
    ) -> Accepted:
        """The job of a request."""
        try:
            order, checked_key = place(draft, needs_model=needs_model), _checked(key)
        except InvalidRequestError as error:
            raise InvalidRequest(error) from None
        return await self.generations.submit(
            _payer(caller), order, route=route, key=checked_key, book_version=book_version
        )

    async def quote(self, caller: Principal, body: JobRequest) -> Quote:
        """What a request would cost, and whether it would be admitted."""
        try:
            order = place(body.draft(provider=body.provider, operation=body.operation))
        except InvalidRequestError as error:
            raise InvalidRequest(error) from None
        return await self.generations.quote(
            _payer(caller), order, book_version=body.price_book_version
        )

    async def answer(self, caller: Principal, accepted: Accepted, prefer: str | None) -> Response:
        """The picture once it is there, unless the client would rather not wait."""
        if _prefers_async(prefer):
            return _accepted(accepted, {"Preference-Applied": "respond-async"})
        job = await self.generations.completed(
            accepted.job_id, caller.user_id, patience=self.patience
        )
        images = job.state.shown_images
        wants_base64 = images and PROVIDERS[job.provider].answers_base64
        content = await inline(self.owners, images[0].key) if wants_base64 else None
        return JsonResponse(self.views.generated(job, content), headers=_limits(accepted))


def create_router(desk: Desk, callers: Callers) -> APIRouter:
    """The routes that cost."""
    router = APIRouter(prefix="/api", tags=["generations"], route_class=CostingRoute)
    # The admission itself finds out whether the user exists.
    Caller = Annotated[Principal, Depends(callers.costing)]  # noqa: N806  # a type, made at start

    @router.post(
        "/jobs", status_code=status.HTTP_202_ACCEPTED, response_model=AcceptedBody, tags=["jobs"]
    )
    async def create_job(caller: Caller, body: JobRequest, key: IdempotencyKey = None) -> Response:
        """Start a generation and answer at once; follow it by its id."""
        draft = body.draft(provider=body.provider, operation=body.operation)
        accepted = await desk.submit(
            caller, draft, "/api/jobs", key, book_version=body.price_book_version
        )
        return _accepted(accepted)

    @router.post("/unified-generate", response_model=GeneratedBody, responses=_ASYNC)
    async def generate(
        caller: Caller, body: GenerationBody, key: IdempotencyKey = None, prefer: Prefer = None
    ) -> Response:
        """Generate with any model, and wait for the picture."""
        accepted = await desk.submit(
            caller, body.draft(), "/api/unified-generate", key, needs_model=True
        )
        return await desk.answer(caller, accepted, prefer)

    @router.post("/image/{provider}", response_model=GeneratedBody, responses=_ASYNC)
    async def generate_with(
        provider: str,
        caller: Caller,
        body: GenerationBody,
        key: IdempotencyKey = None,
        prefer: Prefer = None,
    ) -> Response:
        """Generate with a provider, and wait for the picture."""
        draft = body.draft(provider=provider)
        accepted = await desk.submit(caller, draft, "/api/image/{provider}", key)
        return await desk.answer(caller, accepted, prefer)

    return router


def _accepted(accepted: Accepted, headers: dict[str, str] | None = None) -> Response:
    return JsonResponse(
        {"jobId": accepted.job_id, "status": accepted.status.value},
        status_code=status.HTTP_202_ACCEPTED,
        headers={
            "Location": f"/api/jobs/{accepted.job_id}",
            **_limits(accepted),
            **(headers or {}),
        },
    )


def _limits(accepted: Accepted) -> dict[str, str]:
    """What the limits leave after an admission; a repeat took nothing."""
    if accepted.admitted is None or accepted.at is None:
        return {}
    return headers_of(accepted.admitted.allowances, accepted.at)


def _payer(caller: Principal) -> Payer:
    return Payer(
        user_id=caller.user_id,
        account_id=caller.account_id,
        workspace_id=caller.workspace_id,
        api_key_id=caller.api_key_id,
    )


def _prefers_async(prefer: str | None) -> bool:
    wishes = (prefer or "").split(",")
    return any(wish.split(";")[0].strip().lower() == "respond-async" for wish in wishes)


def _checked(key: str | None) -> str | None:
    """The key as it is stored; none when it is blank."""
    trimmed = (key or "").strip()
    if len(trimmed) > KEY_CHARS_MAX or not is_storable(trimmed):
        text = f"Idempotency-Key must be plain text of at most {KEY_CHARS_MAX} characters"
        raise InvalidRequestError(text, field="Idempotency-Key")
    return trimmed or None
