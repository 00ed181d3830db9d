"""Ideogram v3: one call, the pictures at URLs that live for a day.

Facts: the provider sheet, section 2 (from the vendor's OpenAPI file). A picture that is not safe
has no URL in an answer with status 200, and is billed all the same.
"""

from collections.abc import Mapping
from typing import Any, Final

from libs.events.generation import CostSource, FailureCode, InputRole, Operation
from services.generation.adapters.answers import items, number, text
from services.generation.adapters.base import Adapter, mask_of, picture_of, prompt_of, unoffered
from services.generation.adapters.http.bodies import Field, FilePart, JsonPart
from services.generation.adapters.http.client import Answer
from services.generation.adapters.http.wire import code_of, refused
from services.generation.adapters.options import (
    form_text,
    number_of,
    present,
    ratio_of,
    seed_of,
    text_of,
)
from services.generation.domain.capabilities import Model
from services.generation.ports import Provider, ProviderError, ProviderRequest, ProviderResult

BASE_URL = "https://api.ideogram.ai"
V3 = "/v1/ideogram-v3"
PATHS: Final[Mapping[str, str]] = {
    "generate": f"{V3}/generate",
    "edit": f"{V3}/edit",
    "remix": f"{V3}/remix",
    "reframe": f"{V3}/reframe",
    "replace-background": f"{V3}/replace-background",
    "upscale": "/upscale",  # these two have no twin in v3
    "describe": "/describe",
}
TIMEOUT_SECONDS = 120.0
PASSED_ON = ("rendering_speed", "magic_prompt", "negative_prompt", "style_type", "style_preset")
WITHOUT_STYLE_TYPE = ("rendering_speed", "style_preset")


class IdeogramProvider(Adapter, Provider):
    """Seven endpoints; those that take pictures take them as multipart."""

    hosts = ("ideogram.ai",)

    @staticmethod
    def headers(key: str) -> Mapping[str, str]:
        return {"Api-Key": key}

    async def generate(self, request: ProviderRequest) -> ProviderResult:
        model = self._model(request)
        match request.operation:
            case Operation.IMAGE:
                return await self._new(model, request)
            case Operation.DESCRIBE:
                return await self._describe(model, request)
            case Operation.UPSCALE:
                return await self._form("upscale", _upscale(request), model, request)
            case Operation.BACKGROUND:
                fields = _fields(
                    request, {"prompt": prompt_of(request)}, ("magic_prompt", *WITHOUT_STYLE_TYPE)
                )
                return await self._form("replace-background", fields, model, request)
            case Operation.EDIT:
                method, fields = _edit(request)
                return await self._form(method, fields, model, request)
        raise unoffered(request)

    async def _new(self, model: Model, request: ProviderRequest) -> ProviderResult:
        body = _new(model, request)
        if not request.inputs:
            answer = await self._wire.post(PATHS["generate"], body, timeout_seconds=TIMEOUT_SECONDS)
            return self._result(answer, model, request)
        fields: list[Field] = [(name, form_text(value)) for name, value in body.items()]
        for each in request.inputs:
            is_character = each.role is InputRole.CHARACTER
            kind = "character" if is_character else "style"
            fields.append((f"{kind}_reference_images", FilePart(each)))
        return await self._form("generate", fields, model, request)

    async def _form(
        self, method: str, fields: list[Field], model: Model, request: ProviderRequest
    ) -> ProviderResult:
        answer = await self._wire.post_form(PATHS[method], fields, timeout_seconds=TIMEOUT_SECONDS)
        return self._result(answer, model, request)

    async def _describe(self, model: Model, request: ProviderRequest) -> ProviderResult:
        version = text_of(request.options, "describe_model_version", "model_version") or "V_3"
        fields: list[Field] = [
            ("image_file", FilePart(picture_of(request))),
            ("describe_model_version", version),
        ]
        answer = await self._wire.post_form(
            PATHS["describe"], fields, timeout_seconds=TIMEOUT_SECONDS
        )
        texts = [text(each, "text") for each in items(answer.json, "descriptions")]
        if not any(texts):
            raise refused(FailureCode.BAD_OUTPUT, f"no description in: {answer.text}")
        return ProviderResult(
            texts=tuple(filter(None, texts)),
            cost_microusd=model.cost_of(request.operation),
            cost_source=CostSource.LISTED,
        )

    def _result(self, answer: Answer, model: Model, request: ProviderRequest) -> ProviderResult:
        made = items(answer.json, "data")
        safe = [each for each in made if text(each, "url")]
        cost_microusd = model.cost_of(request.operation) * len(made)
        if not safe:
            unsafe = any(each.get("is_image_safe") is False for each in made)
            code = FailureCode.MODERATION if unsafe else FailureCode.BAD_OUTPUT
            raise refused(
                code,
                f"no URL in: {answer.text}",
                cost_microusd=cost_microusd,
                cost_source=CostSource.LISTED,
            )
        return ProviderResult(
            pictures=[self._wire.picture_at(each["url"]) for each in safe],
            seed=number(safe[0], "seed"),
            cost_microusd=cost_microusd,
            cost_source=CostSource.LISTED,
        )

    @staticmethod
    def classify(answer: Answer) -> FailureCode:
        """422 is a failed safety check here, not one of form."""
        return FailureCode.MODERATION if answer.status == 422 else code_of(answer.status)


def _new(model: Model, request: ProviderRequest) -> dict[str, Any]:
    options = request.options
    resolution = text_of(options, "resolution")
    ratio = None if resolution else ratio_of(model, options)
    return {
        "prompt": prompt_of(request),
        "num_images": request.units,
        # Theirs has an x where all others have a colon.
        **present(aspect_ratio=ratio.replace(":", "x") if ratio else None, resolution=resolution),
        **present(seed=seed_of(options)),
        **present(**{name: text_of(options, name) for name in PASSED_ON}),
    }


def _edit(request: ProviderRequest) -> tuple[str, list[Field]]:
    """Which of the three endpoints: as the method says, else what there is enough for."""
    mask, resolution = mask_of(request), text_of(request.options, "resolution")
    method = text_of(request.options, "method")
    if method is None:
        method = "edit" if mask else "reframe" if resolution else "remix"
    match method:
        case "edit" if mask is not None:
            fields = _fields(
                request,
                {"prompt": prompt_of(request)},
                ("magic_prompt", "style_type", *WITHOUT_STYLE_TYPE),
            )
            return "edit", [*fields, ("mask", FilePart(mask))]
        case "reframe" if resolution:
            return "reframe", _fields(request, {"resolution": resolution}, WITHOUT_STYLE_TYPE)
        case "remix":
            weight = number_of(request.options, "image_weight", 1, 100)
            own = {"prompt": prompt_of(request), **present(image_weight=weight)}
            return "remix", _fields(request, own, PASSED_ON)
    raise ProviderError(
        FailureCode.BAD_REQUEST,
        "Choose a method: edit needs a mask, reframe a resolution, remix a prompt.",
    )


def _fields(
    request: ProviderRequest, own: Mapping[str, Any], passed: tuple[str, ...]
) -> list[Field]:
    options = request.options
    values = {
        **own,
        "num_images": request.units,
        **present(seed=seed_of(options)),
        **present(**{name: text_of(options, name) for name in passed}),
    }
    return [
        ("image", FilePart(picture_of(request))),
        *((name, form_text(value)) for name, value in values.items()),
    ]


def _upscale(request: ProviderRequest) -> list[Field]:
    options = request.options
    asked = {
        "num_images": request.units,
        **present(
            prompt=request.prompt or None,
            resemblance=number_of(options, "resemblance", 1, 100),
            detail=number_of(options, "detail", 1, 100),
            seed=seed_of(options),
        ),
    }
    return [("image_request", JsonPart(asked)), ("image_file", FilePart(picture_of(request)))]
