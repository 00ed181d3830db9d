"""Recraft: one call, the pictures at URLs that live for a day.

Facts: the provider sheet, section 8 (from the vendor's OpenAPI file). Its errors are documented
little: plain text or JSON.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from libs.events.generation import CostSource, FailureCode, Operation
from services.generation.adapters.answers import amount, item, items, text
from services.generation.adapters.base import Adapter, mask_of, picture_of, prompt_of, unoffered
from services.generation.adapters.http.bodies import Field, FilePart
from services.generation.adapters.http.client import Answer
from services.generation.adapters.http.wire import code_of, refused
from services.generation.adapters.options import (
    form_text,
    number_of,
    present,
    seed_of,
    size_of,
    text_of,
)
from services.generation.domain.capabilities import Model
from services.generation.ports import Provider, ProviderError, ProviderRequest, ProviderResult

BASE_URL = "https://external.api.recraft.ai/v1"
TIMEOUT_SECONDS = 120.0
UNIT_MICROUSD = 1_000
PASSED_ON = ("style", "substyle", "style_id", "negative_prompt")
STRENGTH = 0.5  # how far a variation by a prompt goes from its picture
DEFAULT_SIZE = "1024x1024"
UPSCALES: Final[Mapping[str, str]] = {
    method: f"/images/{method}Upscale" for method in ("crisp", "creative", "clarity", "generative")
}


class RecraftProvider(Adapter, Provider):
    """`POST /images/...`: JSON for a new picture, multipart for one that is worked on."""

    hosts = ("recraft.ai",)

    async def generate(self, request: ProviderRequest) -> ProviderResult:
        model = self._model(request)
        if request.operation == Operation.IMAGE:
            answer = await self._wire.post(
                "/images/generations", _new(model, request), timeout_seconds=TIMEOUT_SECONDS
            )
        else:
            path, values = _work(model, request)
            answer = await self._wire.post_form(
                path, _form(request, values), timeout_seconds=TIMEOUT_SECONDS
            )
        made = [*items(answer.json, "data"), item(answer.json, "image")]
        urls = [each["url"] for each in made if text(each, "url")]
        if not urls:
            raise refused(FailureCode.BAD_OUTPUT, f"no URL in: {answer.text}")
        billed = amount(answer.json, "credits", UNIT_MICROUSD)
        return ProviderResult(
            pictures=[self._wire.picture_at(url) for url in urls],
            cost_microusd=billed or model.cost_of(request.operation) * len(urls),
            cost_source=CostSource.REPORTED if billed else CostSource.LISTED,
        )

    @staticmethod
    def references(answer: Answer) -> Iterable[str]:
        """Every picture has one: those of a call are charged for one by one."""
        made = [*items(answer.json, "data"), item(answer.json, "image")]
        return [text(each, "image_id") for each in made]

    @staticmethod
    def classify(answer: Answer) -> FailureCode:
        """By its words, where there are any."""
        words = f"{text(answer.json, 'code')} {answer.text}".lower()
        if "not_enough_credits" in words:
            return FailureCode.CREDIT
        if answer.status in {400, 422} and ("moderat" in words or "nsfw" in words):
            return FailureCode.MODERATION
        return code_of(answer.status)


def _new(model: Model, request: ProviderRequest) -> dict[str, Any]:
    return {**_prompted(model, request), **present(size=size_of(model, request.options))}


def _work(model: Model, request: ProviderRequest) -> tuple[str, dict[str, Any]]:
    """Where to send it, and what else to say than the picture."""
    match request.operation:
        case Operation.VECTORISE:
            return "/images/vectorize", {"response_format": "url"}
        case Operation.UPSCALE:
            method = _method(request, "crisp", UPSCALES)
            return UPSCALES[method], {"response_format": "url"}
        case Operation.BACKGROUND:
            return _background(model, request)
        case Operation.VARIATE:
            return _variation(model, request)
        case Operation.EDIT:
            if mask_of(request) is None:
                raise ProviderError(FailureCode.BAD_REQUEST, "A mask is needed here: send one.")
            return "/images/inpaint", _prompted(model, request)
    raise unoffered(request)


def _background(model: Model, request: ProviderRequest) -> tuple[str, dict[str, Any]]:
    usual = "replace" if request.prompt.strip() else "remove"
    if _method(request, usual, ("replace", "remove")) == "remove":
        return "/images/removeBackground", {"response_format": "url"}
    return "/images/replaceBackground", _prompted(model, request)


def _variation(model: Model, request: ProviderRequest) -> tuple[str, dict[str, Any]]:
    """By a prompt, if it is said how far from the picture; else by chance."""
    strength = number_of(request.options, "strength", 0, 1)
    usual = "variate" if strength is None else "image_to_image"
    if _method(request, usual, ("variate", "image_to_image")) == "variate":
        size = size_of(model, request.options) or DEFAULT_SIZE
        return "/images/variateImage", {"size": size, **_common(model, request)}
    weight = STRENGTH if strength is None else strength
    return "/images/imageToImage", {"strength": weight, **_prompted(model, request)}


def _method(request: ProviderRequest, usual: str, known: Collection[str]) -> str:
    method = text_of(request.options, "method") or usual
    if method not in known:
        raise ProviderError(FailureCode.BAD_REQUEST, f"Choose a method: {' or '.join(known)}.")
    return method


def _prompted(model: Model, request: ProviderRequest) -> dict[str, Any]:
    return {"prompt": prompt_of(request), **_common(model, request), **_style(request)}


def _common(model: Model, request: ProviderRequest) -> dict[str, Any]:
    return {
        "model": model.id,
        "n": request.units,
        "response_format": "url",
        **present(random_seed=seed_of(request.options)),
    }


def _style(request: ProviderRequest) -> dict[str, Any]:
    return present(**{name: text_of(request.options, name) for name in PASSED_ON})


def _form(request: ProviderRequest, values: Mapping[str, Any]) -> list[Field]:
    mask = mask_of(request)
    return [
        *((name, form_text(value)) for name, value in values.items()),
        ("image", FilePart(picture_of(request))),
        *((("mask", FilePart(mask)),) if mask else ()),
    ]
