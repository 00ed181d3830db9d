"""Runway: an order, questions about its task, results at URLs that live for a day or two.

Facts: the provider sheet, section 4 (from the official SDK and the vendor's OpenAPI file). It has
no webhooks, wants to be asked at most every five seconds, and can call a task off.
"""

from typing import Any
from urllib.parse import quote

from libs.events.generation import CostSource, FailureCode
from services.generation.adapters.answers import amount, item, text
from services.generation.adapters.http.client import Answer, ProviderHttp
from services.generation.adapters.http.wire import Access, Wire, code_of, refused
from services.generation.adapters.options import model_of, present, seed_of, size_of
from services.generation.domain.capabilities import Capabilities
from services.generation.ports import (
    Pending,
    PollingProvider,
    ProviderRequest,
    ProviderResult,
    Submission,
)

BASE_URL = "https://api.dev.runwayml.com"
VERSION = "2024-11-06"
HOSTS = ("runwayml.com", "cloudfront.net")
SUBMIT_SECONDS = 30.0
CREDIT_MICROUSD = 10_000
DEFAULT_RATIO = "1024:1024"
WORKING = frozenset({"PENDING", "THROTTLED", "RUNNING"})


class RunwayProvider(PollingProvider):
    """`POST /v1/text_to_image`, then `GET /v1/tasks/{id}`."""

    def __init__(self, http: ProviderHttp, access: Access, capabilities: Capabilities) -> None:
        self._capabilities = capabilities
        self._wire = Wire(
            http,
            access,
            headers={"Authorization": f"Bearer {access.key}", "X-Runway-Version": VERSION},
            hosts=HOSTS,
            classify=classify,
        )

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    async def submit(self, request: ProviderRequest) -> Submission:
        model = model_of(self._capabilities, request)
        size = size_of(model, request.options)
        body = {
            "model": model.id,
            "promptText": request.prompt,
            "ratio": size.replace("x", ":") if size else DEFAULT_RATIO,
            **present(seed=seed_of(request.options)),
        }
        answer = await self._wire.post("/v1/text_to_image", body, timeout_seconds=SUBMIT_SECONDS)
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


def classify(answer: Answer) -> FailureCode:
    """The kind of a refusal. Lack of credits is a 400 that says so in prose."""
    if answer.status == 400 and "enough credits" in text(answer.json, "error"):
        return FailureCode.CREDIT
    return code_of(answer.status)
