"""Luma's Photon and Ray: an order, questions about the generation, its result at a URL.

Facts: the provider sheet, section 10 (from the official SDK 1.21); its errors are a guess there. It
takes pictures by their address alone, so theirs is one of our store's, signed for an hour.
"""

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from libs.events.generation import CostSource, FailureCode, InputRole, Operation
from services.generation.adapters.answers import item, text
from services.generation.adapters.base import Adapter, is_edit, picture_of, prompt_of
from services.generation.adapters.http.client import Answer
from services.generation.adapters.http.wire import code_of, refused
from services.generation.adapters.options import flag_of, number_of, present, ratio_of, text_of
from services.generation.ports import (
    Input,
    Pending,
    PollingProvider,
    ProviderRequest,
    ProviderResult,
    Submission,
)

BASE_URL = "https://api.lumalabs.ai/dream-machine/v1"
SUBMIT_SECONDS = 30.0
WORKING = frozenset({"queued", "dreaming"})


class LumaProvider(Adapter, PollingProvider):
    """`POST /generations/{image,video}`, then `GET /generations/{id}`."""

    hosts = ("lumalabs.ai", "cdn-luma.com")

    async def submit(self, request: ProviderRequest) -> Submission:
        model = self._model(request)
        is_video = request.operation == Operation.VIDEO
        body = {
            "model": model.id,
            **present(aspect_ratio=ratio_of(model, request.options)),
            **(await _video(request) if is_video else await _image(request)),
        }
        path = "/generations/video" if is_video else "/generations/image"
        answer = await self._wire.post(path, body, timeout_seconds=SUBMIT_SECONDS)
        generation_id = text(answer.json, "id")
        if not generation_id:
            raise refused(FailureCode.BAD_OUTPUT, f"no generation in: {answer.text}")
        return Submission(
            id=generation_id,
            cost_microusd=model.cost_of(request.operation),
            cost_source=CostSource.LISTED,
        )

    async def poll(
        self, submission: Submission, request: ProviderRequest
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
        kind = "video" if request.operation == Operation.VIDEO else "image"
        return ProviderResult(
            pictures=[self._wire.picture_at(item(answer.json, "assets").get(kind))],
            cost_microusd=submission.cost_microusd,
            cost_source=submission.cost_source,
        )

    async def cancel(self, submission: Submission) -> None:
        """Deletes the generation."""
        await self._wire.delete(_generation(submission))

    @staticmethod
    def references(_: Answer) -> Iterable[str]:
        return ()

    @staticmethod
    def classify(answer: Answer) -> FailureCode:
        """By its words, where they tell more."""
        words = text(answer.json, "detail").lower()
        if "moderat" in words:
            return FailureCode.MODERATION
        return FailureCode.CREDIT if "credit" in words else code_of(answer.status)


async def _image(request: ProviderRequest) -> dict[str, Any]:
    body: dict[str, Any] = {"prompt": prompt_of(request), "format": "jpg"}
    weight = present(weight=number_of(request.options, "weight", 0, 1))
    if is_edit(request):
        address = await picture_of(request).address()
        return {**body, "modify_image_ref": {"url": address, **weight}}
    images = await _addresses(request.inputs_for(InputRole.REFERENCE, InputRole.IMAGE))
    styles = await _addresses(request.inputs_for(InputRole.STYLE))
    characters = await _addresses(request.inputs_for(InputRole.CHARACTER))
    return {
        **body,
        **present(
            image_ref=[{"url": each, **weight} for each in images] or None,
            style_ref=[{"url": each, **weight} for each in styles] or None,
            character_ref={"identity0": {"images": characters}} if characters else None,
        ),
    }


async def _video(request: ProviderRequest) -> dict[str, Any]:
    options = request.options
    first = request.inputs_for(InputRole.IMAGE, InputRole.REFERENCE)[:1]
    last = request.inputs_for(InputRole.LAST_FRAME)[:1]
    frames = {
        name: {"type": "image", "url": await each.address()}
        for name, found in (("frame0", first), ("frame1", last))
        for each in found
    }
    seconds = number_of(options, "duration", 5, 9)
    return {
        "prompt": prompt_of(request),
        "resolution": text_of(options, "resolution") or "720p",
        "duration": f"{seconds or 5}s",
        **present(
            loop=True if flag_of(options, "loop", otherwise=False) else None,
            keyframes=frames or None,
        ),
    }


async def _addresses(inputs: list[Input]) -> list[str]:
    return [await each.address() for each in inputs]


def _generation(submission: Submission) -> str:
    return f"/generations/{quote(submission.id, safe='')}"
