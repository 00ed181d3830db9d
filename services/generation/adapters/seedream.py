"""ByteDance Seedream on Ark: one call, the pictures at URLs that live for a day.

Facts: the provider sheet, section 5 (from the official SDK). One picture of a group may fail alone.
"""

from typing import Any

from libs.events.generation import CostSource, FailureCode
from services.generation.adapters.answers import item, items, number, text
from services.generation.adapters.base import Adapter, prompt_of
from services.generation.adapters.http.bodies import data_url_of
from services.generation.adapters.http.client import Answer
from services.generation.adapters.http.wire import code_of, refused
from services.generation.adapters.options import present, size_of
from services.generation.adapters.several import several
from services.generation.domain.capabilities import Model
from services.generation.ports import Provider, ProviderRequest, ProviderResult

BASE_URL = "https://ark.ap-southeast.bytepluses.com/api/v3"
TIMEOUT_SECONDS = 180.0
OVERDUE = frozenset({"AccountOverdueError"})


class SeedreamProvider(Adapter, Provider):
    """`POST /images/generations`, once for each picture, whether new or from others."""

    hosts = ("bytepluses.com", "volces.com", "volccdn.com", "byteimg.com")

    async def generate(self, request: ProviderRequest) -> ProviderResult:
        model = self._model(request)
        body = _body(model, request)

        async def one(_: int) -> ProviderResult:
            answer = await self._wire.post(
                "/images/generations", body, timeout_seconds=TIMEOUT_SECONDS
            )
            made = items(answer.json, "data")
            urls = [each["url"] for each in made if text(each, "url")]
            if not urls:
                errors = [text(item(each, "error"), "code") for each in made]
                raise refused(_kind("".join(errors), FailureCode.BAD_OUTPUT), answer.text)
            return ProviderResult(
                pictures=[self._wire.picture_at(url) for url in urls],
                output_tokens=number(item(answer.json, "usage"), "output_tokens"),
                cost_microusd=model.cost_microusd * len(urls),
                cost_source=CostSource.LISTED,
            )

        return await several(request.units, one)

    @staticmethod
    def classify(answer: Answer) -> FailureCode:
        """Its `code` says more than its status."""
        return _kind(text(item(answer.json, "error"), "code"), code_of(answer.status))


def _body(model: Model, request: ProviderRequest) -> dict[str, Any]:
    pictures = [data_url_of(each) for each in request.inputs]
    return {
        "model": model.id,
        "prompt": prompt_of(request),
        "response_format": "url",
        "watermark": False,
        **present(
            size=size_of(model, request.options),
            image=(pictures[0] if len(pictures) == 1 else pictures or None),
        ),
    }


def _kind(code: str, otherwise: FailureCode) -> FailureCode:
    if "RiskDetection" in code or "SensitiveContent" in code:
        return FailureCode.MODERATION
    return FailureCode.CREDIT if code in OVERDUE else otherwise
