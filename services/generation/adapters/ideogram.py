"""Ideogram v3: one call, the pictures at URLs that live for a day.

Facts: the provider sheet, section 2 (from the vendor's OpenAPI file). A picture that is not safe
has no URL in an answer with status 200, and is billed all the same.
"""

from libs.events.generation import CostSource, FailureCode
from services.generation.adapters.answers import items, number, text
from services.generation.adapters.http.client import Answer, ProviderHttp
from services.generation.adapters.http.wire import Access, Wire, code_of, refused
from services.generation.adapters.options import model_of, present, ratio_of, seed_of, text_of
from services.generation.domain.capabilities import Capabilities
from services.generation.ports import Provider, ProviderRequest, ProviderResult

BASE_URL = "https://api.ideogram.ai"
HOSTS = ("ideogram.ai",)
PATH = "/v1/ideogram-v3/generate"
TIMEOUT_SECONDS = 120.0
PASSED_ON = ("rendering_speed", "magic_prompt", "negative_prompt", "style_type", "style_preset")


class IdeogramProvider(Provider):
    """`POST /v1/ideogram-v3/generate`."""

    def __init__(self, http: ProviderHttp, access: Access, capabilities: Capabilities) -> None:
        self._capabilities = capabilities
        self._wire = Wire(
            http,
            access,
            headers={"Api-Key": access.key},
            hosts=HOSTS,
            classify=classify,
        )

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    async def generate(self, request: ProviderRequest) -> ProviderResult:
        model, options = model_of(self._capabilities, request), request.options
        ratio = ratio_of(model, options)
        body = {
            "prompt": request.prompt,
            "num_images": request.units,
            # Theirs has an x where all others have a colon.
            **present(
                aspect_ratio=ratio.replace(":", "x") if ratio else None, seed=seed_of(options)
            ),
            **present(**{name: text_of(options, name) for name in PASSED_ON}),
        }
        answer = await self._wire.post(PATH, body, timeout_seconds=TIMEOUT_SECONDS)
        made = items(answer.json, "data")
        safe = [each for each in made if text(each, "url")]
        cost_microusd = model.cost_microusd * len(made)
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


def classify(answer: Answer) -> FailureCode:
    """The kind of a refusal. 422 is a failed safety check here, not one of form."""
    return FailureCode.MODERATION if answer.status == 422 else code_of(answer.status)
