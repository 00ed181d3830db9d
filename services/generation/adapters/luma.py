"""Luma's Photon: an order, questions about the generation, its picture at a URL.

Facts: the provider sheet, section 10 (from the official SDK 1.21); its errors are a guess there.
"""

from urllib.parse import quote

from libs.events.generation import CostSource, FailureCode
from services.generation.adapters.answers import item, text
from services.generation.adapters.http.client import Answer, ProviderHttp
from services.generation.adapters.http.wire import Access, Wire, code_of, refused
from services.generation.adapters.options import model_of, present, ratio_of
from services.generation.domain.capabilities import Capabilities
from services.generation.ports import (
    Pending,
    PollingProvider,
    ProviderRequest,
    ProviderResult,
    Submission,
)

BASE_URL = "https://api.lumalabs.ai/dream-machine/v1"
HOSTS = ("lumalabs.ai",)
SUBMIT_SECONDS = 30.0
WORKING = frozenset({"queued", "dreaming"})


class LumaProvider(PollingProvider):
    """`POST /generations/image`, then `GET /generations/{id}`."""

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

    async def submit(self, request: ProviderRequest) -> Submission:
        model = model_of(self._capabilities, request)
        body = {
            "prompt": request.prompt,
            "model": model.id,
            "format": "jpg",
            **present(aspect_ratio=ratio_of(model, request.options)),
        }
        answer = await self._wire.post("/generations/image", body, timeout_seconds=SUBMIT_SECONDS)
        generation_id = text(answer.json, "id")
        if not generation_id:
            raise refused(FailureCode.BAD_OUTPUT, f"no generation in: {answer.text}")
        return Submission(
            id=generation_id,
            cost_microusd=model.cost_microusd,
            cost_source=CostSource.LISTED,
        )

    async def poll(
        self, submission: Submission, _request: ProviderRequest
    ) -> ProviderResult | Pending:
        answer = await self._wire.get_job(_generation(submission))
        state = text(answer.json, "state")
        if state in WORKING:
            return Pending()
        if state != "completed":
            reason = text(answer.json, "failure_reason")
            moderated = "moderat" in reason.lower()
            code = FailureCode.MODERATION if moderated else FailureCode.SERVER
            raise refused(code, f"{state}: {reason}", is_of_the_job=True)
        return ProviderResult(
            pictures=[self._wire.picture_at(item(answer.json, "assets").get("image"))],
            cost_microusd=submission.cost_microusd,
            cost_source=submission.cost_source,
        )

    async def cancel(self, submission: Submission) -> None:
        """Deletes the generation."""
        await self._wire.delete(_generation(submission))


def _generation(submission: Submission) -> str:
    return f"/generations/{quote(submission.id, safe='')}"


def classify(answer: Answer) -> FailureCode:
    """The kind of a refusal, by its words where they tell more."""
    words = text(answer.json, "detail").lower()
    if "moderat" in words:
        return FailureCode.MODERATION
    if "credit" in words:
        return FailureCode.CREDIT
    return code_of(answer.status)
