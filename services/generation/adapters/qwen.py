"""Qwen image and image-edit on Alibaba's Model Studio (DashScope): a call, a URL for a day.

Facts: the provider sheet, section 3 (from the official SDK and documents).
"""

from collections.abc import Iterable
from typing import Any

from libs.events.generation import CostSource, FailureCode
from services.generation.adapters.answers import item, items, text
from services.generation.adapters.base import Adapter, prompt_of
from services.generation.adapters.http.bodies import data_url_of
from services.generation.adapters.http.client import Answer
from services.generation.adapters.http.wire import code_of, refused
from services.generation.adapters.options import flag_of, present, seed_of, size_of, text_of
from services.generation.adapters.several import several
from services.generation.domain.capabilities import Model
from services.generation.ports import Provider, ProviderRequest, ProviderResult

BASE_URL = "https://dashscope-intl.aliyuncs.com/api/v1"
PATH = "/services/aigc/multimodal-generation/generation"
TIMEOUT_SECONDS = 180.0
MODERATED = frozenset({"DataInspectionFailed", "IPInfringementSuspect"})
OUT_OF_CREDIT = frozenset({"Arrearage", "Throttling.AllocationQuota"})


class QwenProvider(Adapter, Provider):
    """`POST /services/aigc/multimodal-generation/generation`, once for each picture."""

    hosts = ("aliyuncs.com",)

    async def generate(self, request: ProviderRequest) -> ProviderResult:
        model, seed = self._model(request), seed_of(request.options)

        async def one(number: int) -> ProviderResult:
            body = _body(model, request, None if seed is None else seed + number)
            answer = await self._wire.post(PATH, body, timeout_seconds=TIMEOUT_SECONDS)
            choices = items(answer.json, "output", "choices")
            parts = [part for each in choices for part in items(each, "message", "content")]
            urls = [part["image"] for part in parts if text(part, "image")]
            if not urls:
                raise refused(FailureCode.BAD_OUTPUT, f"no URL in: {answer.text}")
            return ProviderResult(
                pictures=[self._wire.picture_at(url) for url in urls],
                seed=seed,
                cost_microusd=model.cost_microusd * len(urls),
                cost_source=CostSource.LISTED,
            )

        return await several(request.units, one)

    @staticmethod
    def references(answer: Answer) -> Iterable[str]:
        return (text(answer.json, "request_id"),)

    @staticmethod
    def classify(answer: Answer) -> FailureCode:
        """Its `code` says more than its status."""
        code = text(item(answer.json), "code")
        if code in MODERATED:
            return FailureCode.MODERATION
        return FailureCode.CREDIT if code in OUT_OF_CREDIT else code_of(answer.status)


def _body(model: Model, request: ProviderRequest, seed: int | None) -> dict[str, Any]:
    """One message: the pictures to work on, then what to do."""
    options = request.options
    size = size_of(model, options)
    parameters = {
        "prompt_extend": flag_of(options, "prompt_extend", otherwise=True),
        "watermark": flag_of(options, "watermark", otherwise=False),
        # Theirs has an asterisk where all others have an x.
        **present(
            size=size.replace("x", "*") if size and not request.inputs else None,
            negative_prompt=text_of(options, "negative_prompt"),
            seed=seed,
        ),
    }
    content = [
        *({"image": data_url_of(each)} for each in request.inputs),
        {"text": prompt_of(request)},
    ]
    messages = [{"role": "user", "content": content}]
    return {"model": model.id, "input": {"messages": messages}, "parameters": parameters}
