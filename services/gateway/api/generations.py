"""Asking for pictures: `/api/jobs` answers at once, the older routes wait for the same job."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Annotated, Any, Final
from uuid import UUID

import structlog
from fastapi import APIRouter, Depends, Header, Response, status
from msgspec import Struct

from libs.events.text import is_storable
from libs.runtime.auth import Principal
from libs.runtime.errors import DomainError, TooManyRequests, Unavailable
from libs.runtime.http import JsonResponse
from services.gateway.api.bodies import AcceptedBody, GeneratedBody, GenerationBody, JobRequest
from services.gateway.api.callers import Callers
from services.gateway.api.costing import CostingRoute, NeverBadRequest
from services.gateway.api.rate_limits import headers_of
from services.gateway.api.views import JobViews
from services.gateway.domain.admission import Payer
from services.gateway.domain.catalogue import ELSEWHERE, PROVIDERS
from services.gateway.domain.orders import Draft, Placed, place
from services.gateway.domain.text import InvalidRequestError
from services.gateway.handlers.assets import inline
from services.gateway.handlers.decisions import Accepted
from services.gateway.handlers.errors import (
    AnswerUnavailable,
    InvalidRequest,
    NotOffered,
    RetiredModel,
)
from services.gateway.handlers.generations import Generations, Quote
from services.gateway.handlers.inputs import Inputs
from services.gateway.handlers.webhooks import Endpoints
from services.gateway.ports import Owners
from services.gateway.store.jobs import OwnJob

KEY_CHARS_MAX: Final = 255

logger = structlog.get_logger(__name__)

IdempotencyKey = Annotated[
    str | None,
    Header(alias="Idempotency-Key", description="A repeat under the same key makes no second job."),
]
Prefer = Annotated[
    str | None, Header(description="`respond-async`: answer 202 at once instead of waiting.")
]

ASYNC: Final[dict[int | str, dict[str, Any]]] = {
    status.HTTP_202_ACCEPTED: {"model": AcceptedBody, "description": "Accepted"}
}


class Desk(Struct, frozen=True, kw_only=True):
    """What all of these routes do: hand an order in, and answer with its job or its picture."""

    generations: Generations
    inputs: Inputs
    owners: Owners
    views: JobViews
    patience: timedelta
    retired: Mapping[str, str]  # models that are gone, and what to ask for instead
    endpoints: Endpoints
    outside_waits: bool = False  # whether /api/image/* waits for people of an outside issuer

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
        """The job of a request. Its pictures are stored once it looks as if it were admitted."""
        try:
            placed, checked_key = self._placed(draft, needs_model=needs_model), _checked(key)
        except InvalidRequestError as error:
            raise InvalidRequest(error) from None
        payer, order = _payer(caller), placed.order
        if order.webhook_url is not None:
            await self.endpoints.check(order.webhook_url, "webhookUrl")
            await self.endpoints.ensure_orders_are_signed(caller.user_id)
        if placed.given:
            await self.generations.check(payer, order, route=route, key=checked_key)
            order = order.with_inputs(await self.inputs.store(placed.given, caller.user_id))
        return await self.generations.submit(
            payer, order, route=route, key=checked_key, book_version=book_version
        )

    def _placed(self, draft: Draft, *, needs_model: bool = False) -> Placed:
        if instead := self.retired.get(draft.model or ""):
            raise RetiredModel(draft.model or "", instead)
        return place(draft, needs_model=needs_model)

    async def quote(self, caller: Principal, body: JobRequest) -> Quote:
        """What a request would cost, and whether it would be admitted."""
        try:
            draft = body.draft(provider=body.provider, operation=body.operation)
            order = self._placed(draft).order
        except InvalidRequestError as error:
            raise InvalidRequest(error) from None
        return await self.generations.quote(
            _payer(caller), order, book_version=body.price_book_version
        )

    async def answer(self, caller: Principal, accepted: Accepted, prefer: str | None) -> Response:
        """The picture once it is there, unless the client would rather not wait."""
        return await self.finish(caller, accepted, prefer, self._generated)

    async def finish(
        self,
        caller: Principal,
        accepted: Accepted,
        prefer: str | None,
        shown: Callable[[OwnJob], Awaitable[Any]],
    ) -> Response:
        """The job's end in the words of a route, unless the client would rather not wait.

        Raises:
            DomainError: with `jobId`, and never one after which a client would buy again.
        """
        if _prefers_async(prefer):
            return accepted_response(accepted, {"Preference-Applied": "respond-async"})
        with _telling_of(accepted.job_id):
            job = await self.generations.completed(
                accepted.job_id, caller.user_id, patience=self.patience
            )
            return JsonResponse(await shown(job), headers=limit_headers(accepted))

    async def _generated(self, job: OwnJob) -> GeneratedBody:
        images = job.state.shown_images
        wants_base64 = images and PROVIDERS[job.provider].answers_base64
        content = await inline(self.owners, self.views.signed(images[0])) if wants_base64 else None
        return self.views.generated(job, content)


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
        return accepted_response(accepted)

    @router.post("/unified-generate", response_model=GeneratedBody, responses=ASYNC)
    async def generate(
        caller: Caller, body: GenerationBody, key: IdempotencyKey = None, prefer: Prefer = None
    ) -> Response:
        """Generate with any model, and wait for the picture."""
        accepted = await desk.submit(
            caller, body.draft(), "/api/unified-generate", key, needs_model=True
        )
        return await desk.answer(caller, accepted, prefer)

    async def generate_with_gemini(
        caller: Caller, body: GenerationBody, key: IdempotencyKey = None, prefer: Prefer = None
    ) -> Response:
        """Generate with Gemini, and wait for the picture; what is not valid is 422 here."""
        return await generate_with("gemini", caller, body, key, prefer)

    router.add_api_route(
        "/image/gemini",
        generate_with_gemini,
        methods=["POST"],
        response_model=GeneratedBody,
        responses=ASYNC,
        route_class_override=NeverBadRequest,
    )

    @router.post("/image/{provider}", response_model=GeneratedBody, responses=ASYNC)
    async def generate_with(
        provider: str,
        caller: Caller,
        body: GenerationBody,
        key: IdempotencyKey = None,
        prefer: Prefer = None,
    ) -> Response:
        """Generate with a provider, and wait for the picture; an outside log-in does not wait."""
        require_offered(provider)
        draft = body.draft(provider=provider)
        accepted = await desk.submit(caller, draft, "/api/image/{provider}", key)
        if caller.is_outside and not desk.outside_waits:
            return accepted_response(accepted)
        return await desk.answer(caller, accepted, prefer)

    return router


def require_offered(provider: str) -> None:
    """Refuse providers that clients know and that are not to be had here.

    Raises:
        NotOffered: it is one of them.
    """
    if provider in ELSEWHERE:
        raise NotOffered(f"{provider} is not offered here: choose {' or '.join(PROVIDERS)}")


def accepted_response(accepted: Accepted, headers: dict[str, str] | None = None) -> Response:
    """202: the job, and where to follow it."""
    return JsonResponse(
        {"jobId": accepted.job_id, "status": accepted.status.value},
        status_code=status.HTTP_202_ACCEPTED,
        headers={
            "Location": f"/api/jobs/{accepted.job_id}",
            **limit_headers(accepted),
            **(headers or {}),
        },
    )


def limit_headers(accepted: Accepted) -> dict[str, str]:
    """What the limits leave after an admission; a repeat took nothing."""
    if accepted.admitted is None or accepted.at is None:
        return {}
    return headers_of(accepted.admitted.allowances, accepted.at)


@contextmanager
def _telling_of(job_id: UUID) -> Iterator[None]:
    """What goes wrong once there is a job: told with its id, and not as if asking again helped."""
    try:
        yield
    except (TooManyRequests, Unavailable) as error:
        raise AnswerUnavailable(job_id) from error
    except DomainError as error:
        error.details.setdefault("jobId", str(job_id))
        raise
    except Exception as error:
        logger.exception("answer_failed", job_id=str(job_id))
        raise AnswerUnavailable(job_id) from error


def _payer(caller: Principal) -> Payer:
    return Payer(
        user_id=caller.user_id,
        account_id=caller.account_id,
        workspace_id=caller.workspace_id,
        api_key_id=caller.api_key_id,
        session_epoch=caller.session_epoch,
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
