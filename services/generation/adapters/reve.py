"""Reve: one call for one picture, as base64 in its JSON.

Facts: the provider sheet, section 7 (from the official SDK 0.1.9). What its rules do not allow may
come back as 200 with a flag.
"""

from libs.events.generation import CostSource, FailureCode
from services.generation.adapters.answers import amount
from services.generation.adapters.http.client import Answer, ProviderHttp
from services.generation.adapters.http.wire import Access, Wire, code_of, picture_in, refused
from services.generation.adapters.options import model_of, present, ratio_of
from services.generation.adapters.several import several
from services.generation.domain.capabilities import Capabilities
from services.generation.ports import Provider, ProviderRequest, ProviderResult

BASE_URL = "https://api.reve.com"
TIMEOUT_SECONDS = 180.0
CREDIT_MICROUSD = 1_333  # 18 credits are about 0.024 USD


class ReveProvider(Provider):
    """`POST /v1/image/create`, once for each picture."""

    def __init__(self, http: ProviderHttp, access: Access, capabilities: Capabilities) -> None:
        self._capabilities = capabilities
        self._wire = Wire(
            http,
            access,
            headers={"Authorization": f"Bearer {access.key}", "Accept": "application/json"},
            classify=classify,
        )

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    async def generate(self, request: ProviderRequest) -> ProviderResult:
        model = model_of(self._capabilities, request)
        body = {
            "prompt": request.prompt,
            "version": model.id,
            **present(aspect_ratio=ratio_of(model, request.options)),
        }

        async def one(_: int) -> ProviderResult:
            answer = await self._wire.post(
                "/v1/image/create", body, timeout_seconds=TIMEOUT_SECONDS
            )
            billed = amount(answer.json, "credits_used", CREDIT_MICROUSD)
            if answer.json.get("content_violation") is True:
                raise refused(
                    FailureCode.MODERATION,
                    "content_violation",
                    cost_microusd=billed,
                    cost_source=CostSource.REPORTED if billed else CostSource.UNKNOWN,
                )
            return ProviderResult(
                pictures=[picture_in(answer.json.get("image"))],
                cost_microusd=billed or model.cost_microusd,
                cost_source=CostSource.REPORTED if billed else CostSource.LISTED,
            )

        return await several(request.units, one)


def classify(answer: Answer) -> FailureCode:
    """Its statuses say it all."""
    return code_of(answer.status)
