"""Black Forest Labs' FLUX models: an order, questions about it, and a URL that lives ten minutes.

Facts: the provider sheet, section 9 (from the vendor's OpenAPI file and documents).
"""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from libs.events.generation import CostSource, FailureCode, InputRole
from services.generation.adapters.answers import amount, item, number, text
from services.generation.adapters.base import Adapter, mask_of, picture_of, prompt_of
from services.generation.adapters.http.bodies import base64_of
from services.generation.adapters.http.client import Answer
from services.generation.adapters.http.wire import code_of, refused
from services.generation.adapters.options import (
    number_of,
    pixels_of,
    present,
    ratio_of,
    seed_of,
    text_of,
)
from services.generation.domain.capabilities import Model, Way
from services.generation.ports import (
    Pending,
    PollingProvider,
    ProviderRequest,
    ProviderResult,
    Submission,
)

BASE_URL = "https://api.bfl.ai"
SUBMIT_SECONDS = 30.0
CREDIT_MICROUSD = 10_000
MODERATED = frozenset({"Request Moderated", "Content Moderated"})
PASSED_ON = ("prompt_upsampling", "safety_tolerance", "raw", "steps", "guidance")
SIDES = ("top", "bottom", "left", "right")
SIDE_PIXELS_MAX = 2048


class FluxProvider(Adapter, PollingProvider):
    """`POST /v1/<model>`, then `GET` of the polling URL that it names."""

    hosts = ("bfl.ai", "bfldeliveryprod.blob.core.windows.net")

    @staticmethod
    def headers(key: str) -> Mapping[str, str]:
        return {"x-key": key}

    async def submit(self, request: ProviderRequest) -> Submission:
        model = self._model(request)
        body = {**_body(model, request), **self._webhook()}
        answer = await self._wire.post(f"/v1/{model.id}", body, timeout_seconds=SUBMIT_SECONDS)
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

    def _webhook(self) -> dict[str, str]:
        access = self._access
        if not access.webhook_url:
            return {}
        return {"webhook_url": access.webhook_url, "webhook_secret": access.webhook_secret}

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

    @staticmethod
    def references(_: Answer) -> Iterable[str]:
        return ()

    @staticmethod
    def classify(answer: Answer) -> FailureCode:
        """A key that is wrong is 403; what is not valid is 422."""
        return FailureCode.AUTH if answer.status == 403 else code_of(answer.status)


def _body(model: Model, request: ProviderRequest) -> dict[str, Any]:
    options = request.options
    passed = {name: options[name] for name in PASSED_ON if name in options}
    is_prompted = model.way not in {Way.FILL, Way.EXPAND}
    return {
        **present(prompt=prompt_of(request) if is_prompted else request.prompt or None),
        "output_format": text_of(options, "output_format") or "jpeg",
        **(_shape(model, options) if is_prompted else {}),
        **present(seed=seed_of(options)),
        **passed,
        **_pictures(model, request),
    }


def _shape(model: Model, options: Mapping[str, Any]) -> dict[str, Any]:
    if model.by_ratio:
        return present(aspect_ratio=ratio_of(model, options))
    pixels = pixels_of(options)
    if pixels is not None:
        return {"width": pixels[0], "height": pixels[1]}
    ratio = ratio_of(model, options)
    return {} if ratio is None else _within(ratio)


def _pictures(model: Model, request: ProviderRequest) -> dict[str, Any]:
    """Each model has a way of its own to be given pictures; all are bare base64."""
    options = request.options
    if model.way is Way.FILL:
        mask = mask_of(request)
        own = {"image": base64_of(picture_of(request))}
        return {**own, **present(mask=base64_of(mask) if mask else None)}
    if model.way is Way.EXPAND:
        margins = {each: number_of(options, each, 0, SIDE_PIXELS_MAX) for each in SIDES}
        return {"image": base64_of(picture_of(request)), **present(**margins)}
    if not request.inputs:
        return {}
    if model.way is Way.BESIDE_PROMPT:
        strength = number_of(options, "image_prompt_strength", 0, 1)
        prompted = {"image_prompt": base64_of(request.inputs[0])}
        return {**prompted, **present(image_prompt_strength=strength)}
    first = request.inputs_for(InputRole.IMAGE)
    others = [each for each in request.inputs if each.role is not InputRole.IMAGE]
    names = ("input_image", *(f"input_image_{place}" for place in range(2, 9)))
    return {name: base64_of(each) for name, each in zip(names, [*first, *others], strict=False)}


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
