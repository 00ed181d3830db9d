"""Recraft: one call, the pictures at URLs that live for a day.

Facts: the provider sheet, section 8 (from the vendor's OpenAPI file). Its errors are documented
little: plain text or JSON.
"""

from libs.events.generation import CostSource, FailureCode
from services.generation.adapters.answers import amount, items, text
from services.generation.adapters.http.client import Answer, ProviderHttp
from services.generation.adapters.http.wire import Access, Wire, code_of, refused
from services.generation.adapters.options import model_of, present, seed_of, size_of, text_of
from services.generation.domain.capabilities import Capabilities
from services.generation.ports import Provider, ProviderRequest, ProviderResult

BASE_URL = "https://external.api.recraft.ai/v1"
HOSTS = ("recraft.ai",)
TIMEOUT_SECONDS = 120.0
UNIT_MICROUSD = 1_000
PASSED_ON = ("style", "substyle", "style_id", "negative_prompt")


class RecraftProvider(Provider):
    """`POST /images/generations`."""

    def __init__(self, http: ProviderHttp, access: Access, capabilities: Capabilities) -> None:
        self._capabilities = capabilities
        self._wire = Wire(
            http,
            access,
            headers={"Authorization": f"Bearer {access.key}"},
            hosts=HOSTS,
            classify=classify,
        )

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    async def generate(self, request: ProviderRequest) -> ProviderResult:
        model, options = model_of(self._capabilities, request), request.options
        body = {
            "prompt": request.prompt,
            "model": model.id,
            "n": request.units,
            "response_format": "url",
            **present(size=size_of(model, options), random_seed=seed_of(options)),
            **present(**{name: text_of(options, name) for name in PASSED_ON}),
        }
        answer = await self._wire.post("/images/generations", body, timeout_seconds=TIMEOUT_SECONDS)
        urls = [each["url"] for each in items(answer.json, "data") if text(each, "url")]
        if not urls:
            raise refused(FailureCode.BAD_OUTPUT, f"no URL in: {answer.text}")
        billed = amount(answer.json, "credits", UNIT_MICROUSD)
        return ProviderResult(
            pictures=[self._wire.picture_at(url) for url in urls],
            cost_microusd=billed or model.cost_microusd * len(urls),
            cost_source=CostSource.REPORTED if billed else CostSource.LISTED,
        )


def classify(answer: Answer) -> FailureCode:
    """The kind of a refusal, by its words where there are any."""
    words = f"{text(answer.json, 'code')} {answer.text}".lower()
    if "not_enough_credits" in words:
        return FailureCode.CREDIT
    if answer.status in {400, 422} and ("moderat" in words or "nsfw" in words):
        return FailureCode.MODERATION
    return code_of(answer.status)
