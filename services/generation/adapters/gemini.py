"""Google Gemini's image models: one call for one picture, as base64 in the parts of its answer.

Facts: the provider sheet, section 1 (from the official SDK 3.4). An answer with status 200 may be a
refusal. Which status an error has is mostly a guess there, so that the words in it count too.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from libs.events.generation import CostSource, FailureCode
from services.generation.adapters.answers import item, items, number, text
from services.generation.adapters.base import Adapter
from services.generation.adapters.http.bodies import base64_of
from services.generation.adapters.http.client import Answer
from services.generation.adapters.http.wire import code_of, picture_in, refused
from services.generation.adapters.options import present, ratio_of, seed_of, text_of
from services.generation.adapters.several import several
from services.generation.domain.capabilities import Model
from services.generation.ports import Provider, ProviderRequest, ProviderResult

BASE_URL = "https://generativelanguage.googleapis.com"
VERSION = "v1beta"
TIMEOUT_SECONDS = 120.0
MODERATED = frozenset({
    "SAFETY", "IMAGE_SAFETY", "PROHIBITED_CONTENT", "IMAGE_PROHIBITED_CONTENT", "BLOCKLIST", "SPII",
    "RECITATION", "IMAGE_RECITATION",
})  # fmt: skip


class GeminiProvider(Adapter, Provider):
    """`POST /{version}/models/{model}:generateContent`, once for each picture.

    To edit is to generate with pictures beside the prompt.
    """

    @staticmethod
    def headers(key: str) -> Mapping[str, str]:
        return {"x-goog-api-key": key}

    async def generate(self, request: ProviderRequest) -> ProviderResult:
        model = self._model(request)
        body = _body(model, request)
        path = f"/{VERSION}/models/{model.id}:generateContent"

        async def one(_: int) -> ProviderResult:
            return _result(
                await self._wire.post(path, body, timeout_seconds=TIMEOUT_SECONDS), model
            )

        return await several(request.units, one)

    @staticmethod
    def references(answer: Answer) -> Iterable[str]:
        return (text(answer.json, "responseId"),)

    @staticmethod
    def classify(answer: Answer) -> FailureCode:
        """A wrong key arrives as 400, a used-up day as 429."""
        error = item(answer.json, "error")
        words = text(error, "message").lower()
        if answer.status == 400 and "api key" in words:
            return FailureCode.AUTH
        if text(error, "status") == "PERMISSION_DENIED":
            return FailureCode.AUTH
        if answer.status == 429 and _is_used_up(error):
            return FailureCode.CREDIT
        return code_of(answer.status)


def _body(model: Model, request: ProviderRequest) -> dict[str, Any]:
    options = request.options
    image = present(
        aspectRatio=ratio_of(model, options), imageSize=text_of(options, "imageSize", "image_size")
    )
    config = present(imageConfig=image or None, seed=seed_of(options))
    pictures = [
        {"inlineData": {"mimeType": each.content_type, "data": base64_of(each)}}
        for each in request.inputs
    ]
    return {
        "contents": [{"role": "user", "parts": [{"text": request.prompt}, *pictures]}],
        "generationConfig": {"responseModalities": ["TEXT", "IMAGE"], **config},
    }


def _result(answer: Answer, model: Model) -> ProviderResult:
    blocked = text(item(answer.json, "promptFeedback"), "blockReason")
    if blocked:
        raise refused(FailureCode.MODERATION, f"blocked: {blocked}")
    pictures = [picture_in(each) for each in _pictures(answer.json)]
    if not pictures:
        reasons = {text(each, "finishReason") for each in items(answer.json, "candidates")}
        code = FailureCode.MODERATION if reasons & MODERATED else FailureCode.BAD_OUTPUT
        raise refused(code, f"no picture, finished for {sorted(reasons)}: {answer.text}")
    usage = item(answer.json, "usageMetadata")
    return ProviderResult(
        pictures=pictures,
        input_tokens=number(usage, "promptTokenCount"),
        output_tokens=number(usage, "candidatesTokenCount") + number(usage, "thoughtsTokenCount"),
        cost_microusd=model.cost_microusd * len(pictures),
        cost_source=CostSource.LISTED,
    )


def _pictures(answer: Any) -> Iterator[object]:
    """Their base64; the SDK writes members in snake case at places, so both are read."""
    for candidate in items(answer, "candidates"):
        for part in items(candidate, "content", "parts"):
            inline = item(part, "inlineData") or item(part, "inline_data")
            if "data" in inline and not part.get("thought"):
                yield inline["data"]


def _is_used_up(error: dict[str, Any]) -> bool:
    violations = [
        each for detail in items(error, "details") for each in items(detail, "violations")
    ]
    return any("PerDay" in text(each, "quotaId") for each in violations)
