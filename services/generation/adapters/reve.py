"""Reve: one call for one picture, as base64 in its JSON.

Facts: the provider sheet, section 7 (from the official SDK 0.1.9). What its rules do not allow may
come back as 200 with a flag.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from libs.events.generation import CostSource, FailureCode
from services.generation.adapters.answers import amount, text
from services.generation.adapters.base import Adapter, is_edit, prompt_of
from services.generation.adapters.http.bodies import base64_of
from services.generation.adapters.http.client import Answer
from services.generation.adapters.http.wire import picture_in, refused
from services.generation.adapters.options import present, ratio_of, text_of
from services.generation.adapters.several import several
from services.generation.domain.capabilities import Model
from services.generation.ports import Provider, ProviderRequest, ProviderResult

BASE_URL = "https://api.reve.com"
TIMEOUT_SECONDS = 180.0
CREDIT_MICROUSD = 1_333  # 18 credits are about 0.024 USD
LATEST = "latest"  # a version of a model is one of `create`; of the others it is not for us to pin


class ReveProvider(Adapter, Provider):
    """`POST /v1/image/{create,edit,remix}`, once for each picture."""

    @staticmethod
    def headers(key: str) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {key}", "Accept": "application/json"}

    @staticmethod
    def references(answer: Answer) -> Iterable[str]:
        return (text(answer.json, "request_id") or answer.headers.get("x-reve-request-id", ""),)

    async def generate(self, request: ProviderRequest) -> ProviderResult:
        model = self._model(request)
        path, body = _order(model, request)

        async def one(_: int) -> ProviderResult:
            answer = await self._wire.post(path, body, timeout_seconds=TIMEOUT_SECONDS)
            return _result(answer, model)

        return await several(request.units, one)


def _order(model: Model, request: ProviderRequest) -> tuple[str, dict[str, Any]]:
    """One picture and an instruction are an edit; a prompt and pictures are a remix."""
    shape = present(aspect_ratio=ratio_of(model, request.options))
    prompt, pictures = prompt_of(request), [base64_of(each) for each in request.inputs]
    if not pictures:
        return "/v1/image/create", {"prompt": prompt, "version": model.id, **shape}
    method = text_of(request.options, "method")
    if is_edit(request) and len(pictures) == 1 and method != "remix":
        own = {"edit_instruction": prompt, "reference_image": pictures[0]}
        return "/v1/image/edit", {**own, "version": LATEST, **shape}
    own = {"prompt": prompt, "reference_images": pictures}
    return "/v1/image/remix", {**own, "version": LATEST, **shape}


def _result(answer: Answer, model: Model) -> ProviderResult:
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
