"""Runway: an order, questions about its task, results at URLs that live for a day or two.

Facts: the provider sheet, section 4 (from the official SDK and the vendor's OpenAPI file). It has
no webhooks, wants to be asked at most every five seconds, and can call a task off.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from libs.events.generation import CostSource, FailureCode, Operation
from services.generation.adapters.answers import amount, item, text
from services.generation.adapters.base import Adapter, prompt_of
from services.generation.adapters.http.bodies import data_url_of
from services.generation.adapters.http.client import Answer
from services.generation.adapters.http.wire import code_of, refused
from services.generation.adapters.options import number_of, present, seed_of, size_of, text_of
from services.generation.domain.capabilities import Model
from services.generation.ports import (
    Pending,
    PollingProvider,
    ProviderRequest,
    ProviderResult,
    Submission,
)

BASE_URL = "https://api.dev.runwayml.com"
VERSION = "2024-11-06"
SUBMIT_SECONDS = 30.0
CREDIT_MICROUSD = 10_000
DEFAULT_RATIO = "1024:1024"
DEFAULT_VIDEO_RATIO = "1280:720"
DEFAULT_SECONDS = {"veo3.1": 8, "veo3.1_fast": 8}
SECONDS = 5
WORKING = frozenset({"PENDING", "THROTTLED", "RUNNING"})
TAG = re.compile(r"[a-z][a-z0-9_]{2,15}")


class RunwayProvider(Adapter, PollingProvider):
    """`POST /v1/{text_to_image,image_to_video,text_to_video}`, then `GET /v1/tasks/{id}`."""

    hosts = ("runwayml.com", "cloudfront.net")

    @staticmethod
    def headers(key: str) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {key}", "X-Runway-Version": VERSION}

    async def submit(self, request: ProviderRequest) -> Submission:
        model = self._model(request)
        is_video = request.operation == Operation.VIDEO
        path, body = _video(model, request) if is_video else _image(model, request)
        answer = await self._wire.post(path, body, timeout_seconds=SUBMIT_SECONDS)
        task_id = text(answer.json, "id")
        if not task_id:
            raise refused(FailureCode.BAD_OUTPUT, f"no task in: {answer.text}")
        estimated = _cost(answer.json, "estimatedCost")
        return Submission(id=task_id, cost_microusd=estimated, cost_source=_source(estimated))

    async def poll(
        self, submission: Submission, _request: ProviderRequest
    ) -> ProviderResult | Pending:
        answer = await self._wire.get_job(_task(submission))
        status = text(answer.json, "status")
        if status in WORKING:
            return Pending()
        cost_microusd = _cost(answer.json, "cost")
        if status != "SUCCEEDED":
            raise refused(
                _failed(text(answer.json, "failureCode")),
                f"{status}: {answer.text}",
                is_of_the_job=True,
                cost_microusd=cost_microusd,
                cost_source=_source(cost_microusd),
            )
        urls = answer.json.get("output")
        return ProviderResult(
            pictures=[self._wire.picture_at(url) for url in urls or ()],
            cost_microusd=cost_microusd or submission.cost_microusd,
            cost_source=_source(cost_microusd or submission.cost_microusd),
        )

    async def cancel(self, submission: Submission) -> None:
        """Cancels a task that runs, and deletes one that is done."""
        await self._wire.delete(_task(submission))

    @staticmethod
    def references(_: Answer) -> Iterable[str]:
        return ()

    @staticmethod
    def classify(answer: Answer) -> FailureCode:
        """Lack of credits is a 400 that says so in prose."""
        if answer.status == 400 and "enough credits" in text(answer.json, "error"):
            return FailureCode.CREDIT
        return code_of(answer.status)


def _image(model: Model, request: ProviderRequest) -> tuple[str, dict[str, Any]]:
    size = size_of(model, _shape(request.options))
    tags = request.options.get("tags")
    names = [each if _is_tag(each) else None for each in tags] if isinstance(tags, list) else []
    names += [None] * (len(request.inputs) - len(names))
    pictures = [
        {"uri": data_url_of(each), **present(tag=name)}
        for each, name in zip(request.inputs, names, strict=False)
    ]
    return "/v1/text_to_image", {
        "model": model.id,
        "promptText": prompt_of(request),
        "ratio": size.replace("x", ":") if size else DEFAULT_RATIO,
        **present(seed=seed_of(request.options), referenceImages=pictures or None),
    }


def _video(model: Model, request: ProviderRequest) -> tuple[str, dict[str, Any]]:
    """From a first frame if there is one, else from the prompt alone."""
    options = request.options
    size = size_of(model, _shape(options))
    usual = DEFAULT_SECONDS.get(model.id, SECONDS)
    body = {
        "model": model.id,
        "ratio": size.replace("x", ":") if size else DEFAULT_VIDEO_RATIO,
        "duration": number_of(options, "duration", 2, 10) or usual,
        **present(seed=seed_of(options), negativePrompt=text_of(options, "negative_prompt")),
    }
    if not request.inputs:
        return "/v1/text_to_video", {**body, "promptText": prompt_of(request)}
    frame = {"promptImage": data_url_of(request.inputs[0])}
    return "/v1/image_to_video", {**body, **frame, **present(promptText=request.prompt or None)}


def _shape(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """With a size from what this provider calls a ratio."""
    ratio = text_of(options, "ratio")
    return {**options, "size": ratio} if ratio and not options.get("size") else options


def _is_tag(value: object) -> bool:
    return isinstance(value, str) and TAG.fullmatch(value) is not None


def _task(submission: Submission) -> str:
    return f"/v1/tasks/{quote(submission.id, safe='')}"


def _source(cost_microusd: int) -> CostSource:
    return CostSource.REPORTED if cost_microusd else CostSource.UNKNOWN


def _cost(answer: Any, name: str) -> int:
    return amount(item(answer, name), "credits", CREDIT_MICROUSD)


def _failed(code: str) -> FailureCode:
    if code.startswith("SAFETY"):
        return FailureCode.MODERATION
    if code.startswith(("ASSET.INVALID", "INPUT_PREPROCESSING")):
        return FailureCode.BAD_REQUEST
    return FailureCode.SERVER
