"""OpenAI's image models: one call, the pictures as base64 in its JSON.

Facts: the provider sheet, section 6 (from the official SDK 3.52 and OpenAPI of August 2026).
"""

from typing import Any

from libs.events.generation import CostSource, FailureCode
from services.generation.adapters.answers import item, items, number, text
from services.generation.adapters.http.client import Answer, ProviderHttp
from services.generation.adapters.http.wire import Access, Wire, code_of, picture_in, refused
from services.generation.adapters.options import model_of, present, size_of, text_of
from services.generation.domain.capabilities import Capabilities, Model
from services.generation.ports import Provider, ProviderRequest, ProviderResult

BASE_URL = "https://api.openai.com/v1"
TIMEOUT_SECONDS = 300.0
PASSED_ON = ("quality", "background", "output_format", "output_compression", "moderation")
MODERATED = frozenset({"moderation_blocked", "content_policy_violation"})
OUT_OF_CREDIT = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
# Micro-USD for a million tokens: input text, input images, output (gpt-image-1-mini).
MINI = "gpt-image-1-mini"
TOKEN_PRICES = {MINI: (2_000_000, 2_500_000, 8_000_000)}


class OpenAIProvider(Provider):
    """`POST /images/generations`."""

    def __init__(self, http: ProviderHttp, access: Access, capabilities: Capabilities) -> None:
        self._capabilities = capabilities
        self._wire = Wire(
            http,
            access,
            headers={"Authorization": f"Bearer {access.key}"},
            classify=classify,
        )

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    async def generate(self, request: ProviderRequest) -> ProviderResult:
        model = model_of(self._capabilities, request)
        passed = {name: request.options[name] for name in PASSED_ON if name in request.options}
        body = {
            "model": model.id,
            "prompt": request.prompt,
            "n": request.units,
            **present(size=size_of(model, request.options), user=text_of(request.options, "user")),
            **passed,
        }
        answer = await self._wire.post("/images/generations", body, timeout_seconds=TIMEOUT_SECONDS)
        pictures = [each["b64_json"] for each in items(answer.json, "data") if "b64_json" in each]
        if not pictures:
            raise refused(FailureCode.BAD_OUTPUT, f"no picture in: {answer.text}")
        usage = item(answer.json, "usage")
        return ProviderResult(
            pictures=[picture_in(each) for each in pictures],
            input_tokens=number(usage, "input_tokens"),
            output_tokens=number(usage, "output_tokens"),
            cost_microusd=_cost(model, usage, len(pictures)),
            cost_source=CostSource.LISTED,
        )


def classify(answer: Answer) -> FailureCode:
    """The kind of a refusal: its `code` says more than its status."""
    error = item(answer.json, "error")
    code = text(error, "code")
    if code in MODERATED:
        return FailureCode.MODERATION
    if code in OUT_OF_CREDIT:
        return FailureCode.CREDIT
    return code_of(answer.status)


def _cost(model: Model, usage: dict[str, Any], pictures: int) -> int:
    """From the tokens where their price is known, else by the picture."""
    prices = TOKEN_PRICES.get(model.id)
    if prices is None or not usage:
        return model.cost_microusd * pictures
    details = item(usage, "input_tokens_details")
    image_tokens = number(details, "image_tokens")
    text_tokens = number(usage, "input_tokens") - image_tokens
    spent = (text_tokens, image_tokens, number(usage, "output_tokens"))
    return sum(count * price for count, price in zip(spent, prices, strict=True)) // 1_000_000
