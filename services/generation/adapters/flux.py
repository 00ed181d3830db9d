"""Black Forest Labs' FLUX models: an order, questions about it, and a URL that lives ten minutes.

Facts: the provider sheet, section 9 (from the vendor's OpenAPI file and documents).
"""

from typing import Any
from urllib.parse import quote

from libs.events.generation import CostSource, FailureCode
from services.generation.adapters.answers import amount, item, number, text
from services.generation.adapters.http.client import Answer, ProviderHttp
from services.generation.adapters.http.wire import Access, Wire, code_of, refused
from services.generation.adapters.options import (
    model_of,
    pixels_of,
    present,
    ratio_of,
    seed_of,
    text_of,
)
from services.generation.domain.capabilities import Capabilities, Model
from services.generation.ports import (
    Pending,
    PollingProvider,
    ProviderRequest,
    ProviderResult,
    Submission,
)

BASE_URL = "https://api.bfl.ai"
HOSTS = ("bfl.ai", "bfldeliveryprod.blob.core.windows.net")
SUBMIT_SECONDS = 30.0
CREDIT_MICROUSD = 10_000
MODERATED = frozenset({"Request Moderated", "Content Moderated"})
PASSED_ON = ("prompt_upsampling", "safety_tolerance", "raw", "steps", "guidance")
BY_RATIO = frozenset({"flux-pro-1.1-ultra", "flux-kontext-pro", "flux-kontext-max"})


class FluxProvider(PollingProvider):
    """`POST /v1/<model>`, then `GET` of the polling URL that it names."""

    def __init__(self, http: ProviderHttp, access: Access, capabilities: Capabilities) -> None:
        self._capabilities = capabilities
        self._wire = Wire(
            http, access, headers={"x-key": access.key}, hosts=HOSTS, classify=classify
        )

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    async def submit(self, request: ProviderRequest) -> Submission:
        model = model_of(self._capabilities, request)
        answer = await self._wire.post(
            f"/v1/{model.id}", _body(model, request), timeout_seconds=SUBMIT_SECONDS
        )
        task_id = text(answer.json, "id")
        if not task_id:
            raise refused(FailureCode.BAD_OUTPUT, f"no task in: {answer.text}")
        billed = amount(answer.json, "cost", CREDIT_MICROUSD)
        return Submission(
            id=task_id,
            address=text(answer.json, "polling_url"),
            cost_microusd=billed or model.cost_microusd,
            cost_source=CostSource.REPORTED if billed else CostSource.LISTED,
        )

    async def poll(
        self, submission: Submission, _request: ProviderRequest
    ) -> ProviderResult | Pending:
        # With a webhook, the order's answer names no polling URL.
        address = submission.address or f"/v1/get_result?id={quote(submission.id, safe='')}"
        answer = await self._wire.get_job(address)
        status = text(answer.json, "status")
        if status == "Pending":
            return Pending()
        if status != "Ready":
            raise refused(_failed(status), f"{status}: {answer.text}", is_of_the_job=True)
        result = item(answer.json, "result")
        return ProviderResult(
            pictures=[self._wire.picture_at(result.get("sample"))],
            seed=number(result, "seed") if "seed" in result else None,
            cost_microusd=submission.cost_microusd,
            cost_source=submission.cost_source,
        )

    async def cancel(self, submission: Submission) -> None:
        """The provider has no such call."""


def _body(model: Model, request: ProviderRequest) -> dict[str, Any]:
    options = request.options
    pixels = pixels_of(options)
    shape: dict[str, Any] = {}
    if model.id in BY_RATIO:
        shape = present(aspect_ratio=ratio_of(model, options))
    elif pixels is not None:
        shape = {"width": pixels[0], "height": pixels[1]}
    elif (ratio := ratio_of(model, options)) is not None:
        shape = _within(ratio)
    passed = {name: options[name] for name in PASSED_ON if name in options}
    return {
        "prompt": request.prompt,
        "output_format": text_of(options, "output_format") or "jpeg",
        **shape,
        **present(seed=seed_of(options)),
        **passed,
    }


def _within(ratio: str) -> dict[str, int]:
    """Sides of that shape, multiples of 32 from 256 to 1440, of about a megapixel."""
    across, down = map(int, ratio.split(":"))
    width = (across / down) ** 0.5 * 1024
    height = (down / across) ** 0.5 * 1024
    shrink = min(1.0, 1440 / max(width, height))
    return {
        "width": max(256, round(width * shrink / 32) * 32),
        "height": max(256, round(height * shrink / 32) * 32),
    }


def _failed(status: str) -> FailureCode:
    if status in MODERATED:
        return FailureCode.MODERATION
    # `Task not found`: it was there when it was ordered, and is lost.
    return FailureCode.SERVER


def classify(answer: Answer) -> FailureCode:
    """The kind of a refusal. A key that is wrong is 403; what is not valid is 422."""
    if answer.status == 403:
        return FailureCode.AUTH
    return code_of(answer.status)
