"""ByteDance Seedream on Ark: one call, the pictures at URLs that live for a day.

Facts: the provider sheet, section 5 (from the official SDK). One picture of a group may fail alone.
"""

from libs.events.generation import CostSource, FailureCode
from services.generation.adapters.answers import item, items, number, text
from services.generation.adapters.http.client import Answer, ProviderHttp
from services.generation.adapters.http.wire import Access, Wire, code_of, refused
from services.generation.adapters.options import model_of, present, size_of
from services.generation.adapters.several import several
from services.generation.domain.capabilities import Capabilities
from services.generation.ports import Provider, ProviderRequest, ProviderResult

BASE_URL = "https://ark.ap-southeast.bytepluses.com/api/v3"
HOSTS = ("bytepluses.com", "volces.com", "volccdn.com", "byteimg.com")
TIMEOUT_SECONDS = 180.0
OVERDUE = frozenset({"AccountOverdueError"})


class SeedreamProvider(Provider):
    """`POST /images/generations`, once for each picture."""

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
        model = model_of(self._capabilities, request)
        body = {
            "model": model.id,
            "prompt": request.prompt,
            "response_format": "url",
            "watermark": False,
            **present(size=size_of(model, request.options)),
        }

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


def classify(answer: Answer) -> FailureCode:
    """The kind of a refusal: its `code` says more than its status."""
    return _kind(text(item(answer.json, "error"), "code"), code_of(answer.status))


def _kind(code: str, otherwise: FailureCode) -> FailureCode:
    if "RiskDetection" in code or "SensitiveContent" in code:
        return FailureCode.MODERATION
    return FailureCode.CREDIT if code in OVERDUE else otherwise
