"""Work on pictures that come as files: Ideogram's, Qwen's and Recraft's routes, and video."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Response, status

from libs.events.generation import Operation
from libs.runtime.auth import Principal
from libs.runtime.http.bodies import Body
from services.gateway.api.bodies import AcceptedBody
from services.gateway.api.callers import Callers
from services.gateway.api.costing import CostingRoute
from services.gateway.api.generations import (
    ASYNC,
    Desk,
    IdempotencyKey,
    Prefer,
    accepted_response,
    require_offered,
)
from services.gateway.api.reading import Sent, read_sent
from services.gateway.domain.orders import REFRAME
from services.gateway.domain.text import InvalidRequestError
from services.gateway.handlers.errors import InvalidRequest
from services.gateway.store.jobs import OwnJob

Files = Annotated[Sent, Depends(read_sent)]


class PicturesBody(Body):
    """What Ideogram's clients read."""

    data_urls: list[str]
    mime_type: str
    job_id: str


class DescriptionBody(Body):
    text: str


class DescriptionsBody(Body):
    descriptions: list[DescriptionBody]
    job_id: str


class PictureBody(Body):
    """What Qwen's clients read."""

    data_url: str
    content_type: str
    usage: dict[str, int]
    job_id: str


class VariantBody(Body):
    url: str
    prompt: str | None
    model: str
    mime_type: str
    r2_file_id: str | None
    r2_file_url: str


class VariantsBody(Body):
    """What Recraft's clients read."""

    items: list[VariantBody]
    data_urls: list[str]
    job_id: str


NO_WORDS: Final[Mapping[str, str]] = {}


class Work:
    """One route: an operation, what it asks for by itself, and the words of its answer."""

    def __init__(
        self,
        path: str,
        provider: str,
        operation: Operation,
        answer: type[Body],
        summary: str,
        fields: str,
        *,
        words: Mapping[str, str] = NO_WORDS,
        **options: Any,
    ) -> None:
        self.path = path
        self.provider = provider
        self.operation = operation
        self.answer = answer
        self.summary = summary
        self.fields = fields.split()
        self.words = words
        self.options = options

    def in_words(self, error: InvalidRequest) -> InvalidRequest:
        """A refusal, in the words that this route's clients know."""
        text = self.words.get(error.message, error.message)
        return InvalidRequest(InvalidRequestError(text, field=error.details["field"]))

    @property
    def document(self) -> dict[str, Any]:
        """The request's body for the OpenAPI document: a form, or the same as JSON."""
        files = {"image", "mask", "file"}
        named = {name.rstrip("!"): name.endswith("!") for name in self.fields}
        schema = {
            "type": "object",
            "required": [name for name, is_required in named.items() if is_required],
            "properties": {
                name: {"type": "string", **({"format": "binary"} if name in files else {})}
                for name in named
            },
        }
        content = {"multipart/form-data": {"schema": schema}}
        return {"requestBody": {"required": True, "content": content}}


_QWENS: Final = {
    "Prompt is required": "Missing prompt",
    "Image file is required": "Missing image file",
}
_COMMON: Final = "rendering_speed seed num_images style_preset"
WORKS: Final = (
    Work(
        "/api/ideogram/edit", "ideogram", Operation.EDIT, PicturesBody,
        "Change a picture where a mask allows it.", f"image! mask! prompt! style_type {_COMMON}",
    ),
    Work(
        "/api/ideogram/reframe", "ideogram", Operation.EDIT, PicturesBody,
        "Continue a picture into another shape.", f"image! resolution! {_COMMON}", method=REFRAME,
    ),
    Work(
        "/api/ideogram/replace-background", "ideogram", Operation.BACKGROUND, PicturesBody,
        "Put something else behind what a picture shows.", f"image! prompt! {_COMMON}",
        method="replace",
    ),
    Work(
        "/api/ideogram/upscale", "ideogram", Operation.UPSCALE, PicturesBody,
        "Give a picture more pixels.", "image! resemblance detail prompt",
        resemblance=60, detail=90,
    ),
    Work(
        "/api/ideogram/describe", "ideogram", Operation.DESCRIBE, DescriptionsBody,
        "Say what a picture shows.", "image! model_version", model_version="V_3",
    ),
    Work(
        "/api/ideogram/generate", "ideogram", Operation.IMAGE, PicturesBody,
        "Make pictures with Ideogram.", f"prompt! aspect_ratio negative_prompt {_COMMON}",
    ),
    Work(
        "/api/qwen/image", "qwen", Operation.IMAGE, PictureBody, "Make a picture with Qwen.",
        "prompt! size seed negative_prompt prompt_extend watermark", words=_QWENS,
        size="1328*1328", prompt_extend=True, watermark=False,
    ),
    Work(
        "/api/qwen/image-edit", "qwen", Operation.EDIT, PictureBody, "Change a picture with Qwen.",
        "image! prompt! negative_prompt seed watermark", words=_QWENS, watermark=False,
    ),
    Work(
        "/api/image/recraft/variate", "recraft", Operation.VARIATE, VariantsBody,
        "Make pictures like one.", "file! size image_format n prompt model",
        size="1024x1024",
    ),
)  # fmt: skip


def create_router(desk: Desk, callers: Callers) -> APIRouter:
    """All of these routes."""
    router = APIRouter(route_class=CostingRoute)
    for work in WORKS:
        _add(router, desk, callers, work)
    _add_video(router, desk, callers)
    return router


def _add(router: APIRouter, desk: Desk, callers: Callers, work: Work) -> None:
    Caller = Annotated[Principal, Depends(callers.costing)]  # noqa: N806  # a type

    async def do(
        caller: Caller, sent: Files, key: IdempotencyKey = None, prefer: Prefer = None
    ) -> Response:
        draft = sent.draft(provider=work.provider, operation=work.operation.value, **work.options)
        try:
            accepted = await desk.submit(caller, draft, work.path, key)
        except InvalidRequest as error:
            raise work.in_words(error) from None

        async def shown(job: OwnJob) -> Body:
            return SHOWN[work.answer](desk, job)

        return await desk.finish(caller, accepted, prefer, shown)

    router.add_api_route(
        work.path,
        do,
        methods=["POST"],
        name=work.path,
        summary=work.summary,
        response_model=work.answer,
        responses=ASYNC,
        openapi_extra=work.document if work.fields else None,
        tags=[work.provider],
    )


def _add_video(router: APIRouter, desk: Desk, callers: Callers) -> None:
    Caller = Annotated[Principal, Depends(callers.costing)]  # noqa: N806  # a type

    @router.post(
        "/api/video/{provider}",
        status_code=status.HTTP_202_ACCEPTED,
        response_model=AcceptedBody,
        tags=["generations"],
        openapi_extra=VIDEO,
    )
    async def film(
        provider: str, caller: Caller, sent: Files, key: IdempotencyKey = None
    ) -> Response:
        """Start a film and answer at once; follow it by its id."""
        require_offered(provider)
        draft = sent.draft(provider=provider, operation=Operation.VIDEO.value)
        return accepted_response(await desk.submit(caller, draft, "/api/video/{provider}", key))


VIDEO: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
}


def _pictures(desk: Desk, job: OwnJob) -> PicturesBody:
    images = job.state.shown_images
    return PicturesBody(
        data_urls=[desk.views.url(each) for each in images],
        mime_type=images[0].content_type if images else "image/png",
        job_id=str(job.job_id),
    )


def _descriptions(_desk: Desk, job: OwnJob) -> DescriptionsBody:
    texts = job.state.answer.texts if job.state.answer else ()
    return DescriptionsBody(
        descriptions=[DescriptionBody(text=each) for each in texts], job_id=str(job.job_id)
    )


def _picture(desk: Desk, job: OwnJob) -> PictureBody:
    images = job.state.shown_images
    first = images[0]
    return PictureBody(
        data_url=desk.views.url(first),
        content_type=first.content_type,
        usage={"image_count": len(images), "width": first.width, "height": first.height},
        job_id=str(job.job_id),
    )


def _variants(desk: Desk, job: OwnJob) -> VariantsBody:
    images = job.state.shown_images
    urls = [desk.views.url(each) for each in images]
    ids = job.state.listing.item_ids if job.state.listing else ()
    return VariantsBody(
        items=[
            VariantBody(
                url=url,
                prompt=job.prompt or None,
                model=job.model,
                mime_type=image.content_type,
                r2_file_id=str(ids[place]) if place < len(ids) else None,
                r2_file_url=url,
            )
            for place, (url, image) in enumerate(zip(urls, images, strict=True))
        ],
        data_urls=urls,
        job_id=str(job.job_id),
    )


SHOWN: Final[dict[type[Body], Callable[[Desk, OwnJob], Body]]] = {
    PicturesBody: _pictures,
    DescriptionsBody: _descriptions,
    PictureBody: _picture,
    VariantsBody: _variants,
}
