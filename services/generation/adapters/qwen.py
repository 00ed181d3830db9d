"""Qwen image on Alibaba's Model Studio (DashScope): one call, the picture at a URL for a day.

Facts: the provider sheet, section 3 (from the official SDK and documents).
"""

from libs.events.generation import CostSource, FailureCode
from services.generation.adapters.answers import item, items, text
from services.generation.adapters.http.client import Answer, ProviderHttp
from services.generation.adapters.http.wire import Access, Wire, code_of, refused
from services.generation.adapters.options import model_of, present, seed_of, size_of, text_of
from services.generation.adapters.several import several
from services.generation.domain.capabilities import Capabilities
from services.generation.ports import Provider, ProviderRequest, ProviderResult

BASE_URL = "https://dashscope-intl.aliyuncs.com/api/v1"
HOSTS = ("aliyuncs.com",)
PATH = "/services/aigc/multimodal-generation/generation"
TIMEOUT_SECONDS = 180.0
MODERATED = frozenset({"DataInspectionFailed", "IPInfringementSuspect"})
OUT_OF_CREDIT = frozenset({"Arrearage", "Throttling.AllocationQuota"})


class QwenProvider(Provider):
    """`POST /services/aigc/multimodal-generation/generation`, once for each picture."""

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
        size, seed = size_of(model, options), seed_of(options)

        async def one(number: int) -> ProviderResult:
            parameters = {
                "prompt_extend": options.get("prompt_extend") is not False,
                "watermark": False,
                # Theirs has an asterisk where all others have an x.
                **present(
                    size=size.replace("x", "*") if size else None,
                    negative_prompt=text_of(options, "negative_prompt"),
                    seed=None if seed is None else seed + number,
                ),
            }
            message = {"role": "user", "content": [{"text": request.prompt}]}
            body = {"model": model.id, "input": {"messages": [message]}, "parameters": parameters}
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


def classify(answer: Answer) -> FailureCode:
    """The kind of a refusal: its `code` says more than its status."""
    code = text(item(answer.json), "code")
    if code in MODERATED:
        return FailureCode.MODERATION
    return FailureCode.CREDIT if code in OUT_OF_CREDIT else code_of(answer.status)
