"""The dialect of OpenAI's clients, for every provider's models: `base_url` is `/v1` of ours.

Sources: OpenAI's OpenAPI document and official client, as read in August 2026.
"""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field

from libs.events.generation import Operation
from libs.runtime.auth import Principal
from libs.runtime.errors import DomainError, Kind, TooManyRequests
from libs.runtime.http import STATUS_OF, JsonResponse, validation_sentence
from services.gateway.api.callers import Callers
from services.gateway.api.costing import CostingRoute
from services.gateway.api.generations import Desk, IdempotencyKey
from services.gateway.api.reading import Sent, read_sent
from services.gateway.domain.catalogue import PROVIDERS, provider_of
from services.gateway.domain.orders import Draft
from services.gateway.domain.text import InvalidRequestError
from services.gateway.handlers.assets import inline
from services.gateway.handlers.errors import AnswerUnavailable, InvalidRequest, ModelNotFound
from services.gateway.store.jobs import OwnJob

DEFAULT_MODEL: Final = "chatgpt-image"
SINCE: Final = 1_759_276_800  # clients want a time; ours do not depend on it

_TYPES: Final = {
    Kind.UNAUTHORIZED: "authentication_error",
    Kind.FORBIDDEN: "permission_error",
    Kind.PAYMENT_REQUIRED: "insufficient_quota",
    Kind.TOO_MANY_REQUESTS: "rate_limit_error",
}
# What a client understands under another name than ours.
_CODES: Final = {
    "insufficient_credits": "insufficient_quota",
    "rate_limited": "rate_limit_exceeded",
    "unauthorized": "invalid_api_key",
}
_AUTOMATIC: Final = ("size", "quality", "background", "moderation")  # `auto` says nothing
_OURS: Final = ("response_format", "stream", "partial_images", "user")


class Wire(BaseModel):
    """Names as they are: this dialect has no capitals."""

    model_config = ConfigDict(frozen=True)


class ImageObject(Wire):
    """A picture, by value or by address."""

    b64_json: str | None = None
    url: str | None = None
    revised_prompt: str | None = None


class ImagesObject(Wire):
    created: int
    data: list[ImageObject]


class ErrorObject(Wire):
    message: str
    type: str
    param: str | None
    code: str
    job_id: UUID | None = Field(None, alias="jobId", description="The job, once there is one.")


class ErrorBody(Wire):
    """A refusal, as OpenAI's clients read it."""

    error: ErrorObject


class ModelObject(Wire):
    id: str
    object: Literal["model"] = "model"
    created: int = SINCE
    owned_by: str


class ModelsObject(Wire):
    object: Literal["list"] = "list"
    data: list[ModelObject]


_ERROR: Final = {
    "description": "A refusal",
    "content": {
        "application/json": {
            "schema": {"$ref": "#/components/schemas/ErrorBody"},
            "example": {
                "error": {
                    "message": "Insufficient credits: 1 needed, 0 available",
                    "type": "insufficient_quota",
                    "param": None,
                    "code": "insufficient_quota",
                }
            },
        },
        # What refuses before a route is found: too large a body.
        "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}},
    },
}
ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    400: {**_ERROR, "model": ErrorBody},
    "default": _ERROR,
}

Handle = Callable[[Request], Coroutine[Any, Any, Response]]


class OpenAIRoute(CostingRoute):
    """A route whose errors are in OpenAI's words."""

    def get_route_handler(self) -> Handle:
        return _in_dialect(super().get_route_handler())


class OpenAIReading(APIRoute):
    """The same, for what costs nothing."""

    def get_route_handler(self) -> Handle:
        return _in_dialect(super().get_route_handler())


def _in_dialect(handle: Handle) -> Handle:
    async def handle_in_dialect(request: Request) -> Response:
        try:
            return await handle(request)
        except DomainError as error:
            return _refused(request, error)
        except RequestValidationError as error:
            return _error(request, 400, "invalid_request", validation_sentence(error.errors()))
        except HTTPException as error:
            return _error(request, error.status_code, "invalid_request", str(error.detail))

    return handle_in_dialect


def create_router(desk: Desk, callers: Callers) -> APIRouter:
    """The routes of `/v1`."""
    router = APIRouter(prefix="/v1", tags=["openai"], responses=ERRORS)
    router.include_router(_images_router(desk, callers))
    router.include_router(_models_router(callers))
    return router


def _images_router(desk: Desk, callers: Callers) -> APIRouter:
    router = APIRouter(route_class=OpenAIRoute)
    Costing = Annotated[Principal, Depends(callers.costing)]  # noqa: N806  # a type
    Files = Annotated[Sent, Depends(read_sent)]  # noqa: N806  # a type

    async def make(
        caller: Principal, sent: Sent, key: str | None, operation: Operation, route: str
    ) -> Response:
        try:
            draft, shape = _draft(sent, operation)
        except InvalidRequestError as error:
            raise InvalidRequest(error) from None
        accepted = await desk.submit(caller, draft, route, key)

        async def shown(job: OwnJob) -> ImagesObject:
            return await _images(desk, job, shape)

        return await desk.finish(caller, accepted, None, shown)

    @router.post("/images/generations", response_model=ImagesObject, openapi_extra=GENERATIONS)
    async def generate(caller: Costing, sent: Files, key: IdempotencyKey = None) -> Response:
        """Make pictures with any model."""
        return await make(caller, sent, key, Operation.IMAGE, "/v1/images/generations")

    @router.post("/images/edits", response_model=ImagesObject, openapi_extra=EDITS)
    async def edit(caller: Costing, sent: Files, key: IdempotencyKey = None) -> Response:
        """Change pictures with any model that can."""
        return await make(caller, sent, key, Operation.EDIT, "/v1/images/edits")

    return router


def _models_router(callers: Callers) -> APIRouter:
    router = APIRouter(route_class=OpenAIReading)
    Caller = Annotated[Principal, Depends(callers.known)]  # noqa: N806  # a type

    @router.get("/models", response_model=ModelsObject)
    async def list_models(_caller: Caller) -> Response:
        """Every model."""
        return JsonResponse(
            ModelsObject(
                data=[
                    ModelObject(id=model, owned_by=provider.name)
                    for provider in PROVIDERS.values()
                    for model in provider.models
                ]
            )
        )

    @router.get("/models/{model}", response_model=ModelObject)
    async def read_model(model: str, _caller: Caller) -> Response:
        """One model."""
        provider = provider_of(model)
        if provider is None:
            raise ModelNotFound(model)
        return JsonResponse(ModelObject(id=model, owned_by=provider.name))

    return router


def _draft(sent: Sent, operation: Operation) -> tuple[Draft, str | None]:
    """The request as the domain takes it, and how its pictures are wanted."""
    plain = sent.draft(operation=operation.value)
    options = dict(plain.options)
    shape = options.get("response_format")
    if shape not in (None, "url", "b64_json"):  # whatever was sent, also what has no hash
        text = "response_format must be url or b64_json"
        raise InvalidRequestError(text, field="response_format")
    if options.get("stream") not in (None, False, "false"):
        raise InvalidRequestError(
            "Pictures are not streamed here: leave out stream", field="stream"
        )
    kept = {
        name: value
        for name, value in options.items()
        if name not in _OURS and not (name in _AUTOMATIC and value == "auto")
    }
    return Draft(
        operation=plain.operation,
        model=plain.model or DEFAULT_MODEL,
        prompt=plain.prompt,
        options=kept,
        provider_options=plain.provider_options,
        given=plain.given,
        deadline_seconds=plain.deadline_seconds,
    ), shape


async def _images(desk: Desk, job: OwnJob, shape: str | None) -> ImagesObject:
    """Pictures by value unless the client wants addresses; by default both.

    Raises:
        AnswerUnavailable: the client wants nothing but the value, and it cannot be had.
    """
    data = []
    for image in job.state.shown_images:
        url = None if shape == "b64_json" else desk.views.url(image)
        text = None if shape == "url" else await inline(desk.owners, desk.views.signed(image))
        if text is None and url is None:
            raise AnswerUnavailable(job.job_id)
        data.append(ImageObject(b64_json=text, url=url))
    finished_at = job.state.finished_at or job.created_at
    return ImagesObject(created=int(finished_at.timestamp()), data=data)


def _refused(request: Request, error: DomainError) -> Response:
    status, headers = STATUS_OF[error.kind], {}
    job_id = error.details.get("jobId")
    if job_id or error.kind is Kind.CONFLICT:
        headers["x-should-retry"] = "false"  # there is a job: a repeat would be another one
    elif isinstance(error, TooManyRequests):
        headers["Retry-After"] = str(max(1, round(error.retry_after_seconds)))
    return _error(
        request,
        status,
        _CODES.get(error.code, error.code),
        error.message,
        kind=_TYPES.get(error.kind),
        param=error.details.get("field"),
        job_id=job_id,
        headers=headers,
    )


def _error(
    request: Request,
    status: int,
    code: str,
    sentence: str,
    *,
    kind: str | None = None,
    param: str | None = None,
    job_id: str | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    request.scope.setdefault("state", {})["error_code"] = code
    kind = kind or ("server_error" if status >= 500 else "invalid_request_error")
    told = {"message": sentence, "type": kind, "param": param, "code": code}
    if job_id is not None:
        told["jobId"] = job_id
    return JsonResponse({"error": told}, status_code=status, headers=headers or {})


def _request_body(required: tuple[str, ...], files: tuple[str, ...]) -> dict[str, Any]:
    texts = {name: {"type": "string"} for name in ("prompt", "model", "size", "response_format")}
    binary = {name: {"type": "string", "format": "binary"} for name in files}
    schema = {
        "type": "object",
        "required": list(required),
        "properties": {**texts, "n": {"type": "integer"}, **binary},
    }
    kind = "multipart/form-data" if files else "application/json"
    return {"requestBody": {"required": True, "content": {kind: {"schema": schema}}}}


GENERATIONS: Final = _request_body(("prompt",), ())
EDITS: Final = _request_body(("prompt", "image"), ("image", "mask"))
