"""FLUX as its first clients speak of it: an order, a polling URL, a result, a download."""

import base64
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from msgspec import Struct

from libs.events.names import Service
from libs.runtime.auth import Principal
from libs.runtime.clock import Clock
from libs.runtime.errors import Unauthorized
from libs.runtime.http import JsonResponse
from libs.runtime.http.bodies import Body
from services.gateway.api.bodies import GenerationBody
from services.gateway.api.callers import Callers
from services.gateway.api.costing import CostingRoute
from services.gateway.api.forwarding import forward
from services.gateway.api.generations import Desk, IdempotencyKey, limit_headers
from services.gateway.domain.catalogue import PROVIDERS
from services.gateway.domain.jobs import Status
from services.gateway.domain.text import InvalidRequestError
from services.gateway.handlers.assets import read_asset
from services.gateway.handlers.errors import InvalidRequest, JobNotFound
from services.gateway.store.jobs import OwnJob

PROVIDER: Final = "flux"
SIGNATURE: Final = "x-bfl-signature"
WEBHOOK_PATH: Final = "/internal/webhooks/flux"  # of generation

_STATUSES: Final = {
    Status.PENDING: "Queued",
    Status.PROCESSING: "Processing",
    Status.COMPLETED: "Ready",
    Status.FAILED: "Error",
    Status.CANCELLED: "Failed",
}


class QueuedBody(Body):
    """An order that was taken."""

    id: UUID
    polling_url: str
    model: str
    status: Literal["queued"] = "queued"


class SampleBody(Body):
    sample: str
    seed: int | None = None


class ResultBody(Body):
    """How far an order is; `result` once it is `Ready`."""

    id: UUID
    status: Literal["Queued", "Processing", "Ready", "Error", "Failed"]
    progress: int
    result: SampleBody | None
    error: str | None
    polling_url: str
    timestamp: str


class DownloadBody(Body):
    data_url: str
    content_type: str


class ProbeBody(Body):
    ok: bool
    models: list[str]


class Addresses(Struct, frozen=True, kw_only=True):
    """Where jobs and pictures are, as clients see it."""

    jobs_at: str
    assets_at: str

    def polling_url(self, job_id: UUID) -> str:
        return f"{self.jobs_at}/{job_id}"

    def job_id(self, polling_url: str) -> UUID:
        """The job behind one of our polling URLs.

        Raises:
            InvalidRequestError: it is none.
        """
        prefix, _, last = polling_url.rpartition("/")
        try:
            found = UUID(last)
        except ValueError:
            found = None
        if prefix != self.jobs_at or found is None:
            raise _not_ours()
        return found

    def key(self, url: str) -> str:
        """What is stored at one of our addresses of pictures.

        Raises:
            InvalidRequestError: it is none.
        """
        key = url.removeprefix(f"{self.assets_at}/")
        if key == url or not key:
            text = "url must be the address of a picture of ours"
            raise InvalidRequestError(text, field="url")
        return key


def _not_ours() -> InvalidRequestError:
    text = "pollingUrl must be one that /api/flux/generate has answered to you"
    return InvalidRequestError(text, field="pollingUrl")


def create_router(desk: Desk, addresses: Addresses, clock: Clock, callers: Callers) -> APIRouter:
    """The routes of `/api/flux`."""
    router = APIRouter(prefix="/api/flux", tags=["flux"])
    _add_orders(router, desk, addresses, callers)
    _add_results(router, desk, addresses, clock, callers)
    _add_webhook(router, desk)
    return router


def _add_orders(router: APIRouter, desk: Desk, addresses: Addresses, callers: Callers) -> None:
    costing = APIRouter(route_class=CostingRoute)
    Costing = Annotated[Principal, Depends(callers.costing)]  # noqa: N806  # a type
    Caller = Annotated[Principal, Depends(callers.known)]  # noqa: N806  # a type

    @costing.post("/generate", response_model=QueuedBody)
    async def generate(
        caller: Costing, body: GenerationBody, key: IdempotencyKey = None
    ) -> Response:
        """Order a picture; it is asked for by its polling URL."""
        draft = body.draft(provider=PROVIDER, options={"output_format": "jpeg"})
        draft.options.pop("useWebhook", None)
        accepted = await desk.submit(caller, draft, "/api/flux/generate", key, needs_model=True)
        queued = QueuedBody(
            id=accepted.job_id,
            polling_url=addresses.polling_url(accepted.job_id),
            model=body.model or "",
        )
        return JsonResponse(queued, headers=limit_headers(accepted))

    router.include_router(costing)

    @router.get("/test", response_model=ProbeBody)
    async def probe(_caller: Caller) -> Response:
        """What can be ordered."""
        return JsonResponse(ProbeBody(ok=True, models=list(PROVIDERS[PROVIDER].models)))


def _add_results(
    router: APIRouter, desk: Desk, addresses: Addresses, clock: Clock, callers: Callers
) -> None:
    Caller = Annotated[Principal, Depends(callers.known)]  # noqa: N806  # a type

    @router.get("/result", response_model=ResultBody)
    async def result(
        caller: Caller,
        polling_url: Annotated[str | None, Query(alias="pollingUrl")] = None,
    ) -> Response:
        """How far an order is."""
        try:
            job_id = addresses.job_id(_required(polling_url, "pollingUrl"))
            job = await desk.generations.find(job_id, caller.user_id)
        except InvalidRequestError as error:
            raise InvalidRequest(error) from None
        except JobNotFound:
            raise InvalidRequest(_not_ours()) from None
        return JsonResponse(_result(desk, addresses, clock, job))

    @router.get("/download", response_model=DownloadBody)
    async def download(
        _caller: Caller, url: Annotated[str | None, Query(description="The sample's.")] = None
    ) -> Response:
        """A picture as a data URL."""
        try:
            key = addresses.key(_required(url, "url"))
        except InvalidRequestError as error:
            raise InvalidRequest(error) from None
        picture = await read_asset(desk.owners, key)
        text = base64.b64encode(picture.content).decode()
        return JsonResponse(
            DownloadBody(
                data_url=f"data:{picture.content_type};base64,{text}",
                content_type=picture.content_type,
            )
        )


def _add_webhook(router: APIRouter, desk: Desk) -> None:
    @router.post("/webhook", openapi_extra=_WEBHOOK, response_class=Response)
    async def webhook(
        request: Request,
        signature: Annotated[str | None, Header(alias=SIGNATURE)] = None,
    ) -> Response:
        """The provider's word on an order, passed on as it is to whoever can verify it."""
        if not signature:
            raise Unauthorized(f"Unauthorized: sign the body, and send {SIGNATURE}")
        return await forward(
            desk.owners,
            Service.GENERATION,
            request,
            {SIGNATURE: signature, "content-type": "application/json"},
            path=WEBHOOK_PATH,
            body=await request.body(),
        )


_WEBHOOK: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
}


def _required(value: str | None, name: str) -> str:
    if not value:
        raise InvalidRequestError(f"{name} is required", field=name)
    return value


def _result(desk: Desk, addresses: Addresses, clock: Clock, job: OwnJob) -> ResultBody:
    shown = desk.views.job(job, job.state)
    url = shown.result_url
    return ResultBody(
        id=job.job_id,
        status=_STATUSES[job.state.status],  # type: ignore[arg-type]  # one of these
        progress=shown.progress,
        result=SampleBody(sample=url, seed=shown.metadata.seed) if url else None,
        error=shown.error,
        polling_url=addresses.polling_url(job.job_id),
        timestamp=clock.now().isoformat(),
    )
