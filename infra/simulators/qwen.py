"""DashScope: `POST /api/v1/services/aigc/multimodal-generation/generation` for Qwen image."""

from typing import Any
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from infra.simulators.inputs import NoPictureError, decoded, read_json
from infra.simulators.scripts import Script, Situation
from infra.simulators.simulator import Simulator, with_rest

MODELS = ("qwen-image", "qwen-image-plus", "qwen-image-max")
EDITS = ("qwen-image-edit", "qwen-image-edit-plus", "qwen-image-edit-max")
SIZES = ("1664*928", "1472*1140", "1328*1328", "1140*1472", "928*1664")
PATH = "/api/v1/services/aigc/multimodal-generation/generation"
REFUSES = frozenset({
    Situation.BAD_REQUEST, Situation.AUTH, Situation.MODERATION, Situation.RATE_LIMIT,
    Situation.CREDIT, Situation.SERVER,
})  # fmt: skip
REFUSALS: dict[Situation, tuple[int, str, str]] = {
    Situation.BAD_REQUEST: (400, "InvalidParameter", "The size is not supported."),
    Situation.AUTH: (401, "InvalidApiKey", "Invalid API-key provided."),
    Situation.MODERATION: (
        400, "DataInspectionFailed", "Input or output data may contain inappropriate content.",
    ),
    Situation.RATE_LIMIT: (429, "Throttling.RateQuota", "Requests rate limit exceeded."),
    Situation.CREDIT: (400, "Arrearage", "Access denied, please make sure your account is good."),
    Situation.SERVER: (500, "InternalError", "An internal error has occurred."),
}  # fmt: skip


class QwenSimulator(Simulator):
    """Sync: one message in, one message with a picture's URL out."""

    name = "qwen"

    def routes(self) -> list[Route]:
        return [Route(PATH, self.generate, methods=["POST"])]

    def refusal(self, situation: Situation, script: Script) -> Response:
        status, code, message = REFUSALS[situation]
        body = {"code": code, "message": message, "request_id": str(uuid4())}
        return with_rest(JSONResponse(body, status), situation, script)

    async def generate(self, request: Request) -> Response:
        body = await read_json(request)
        prompt = _prompt(body)
        try:
            inputs = [decoded(each, is_data_url=True) for each in _pictures(body)]
        except NoPictureError:
            return self.refusal(Situation.BAD_REQUEST, Script())
        script = await self.begin(request, prompt, body, refuses=REFUSES, inputs=inputs)
        is_edit = body.get("model") in EDITS
        usual = "1024*1024" if is_edit else "1328*1328"
        size = str((body.get("parameters") or {}).get("size") or usual)
        if body.get("model") not in {*MODELS, *EDITS}:
            told = {"code": "ModelNotFound", "message": "Model not exist."}
            return JSONResponse({**told, "request_id": str(uuid4())}, 404)
        counts = range(1, 4) if is_edit else range(1)
        if not prompt or size not in {*SIZES, usual} or len(inputs) not in counts:
            return self.refusal(Situation.BAD_REQUEST, script)
        await self.wait(script)
        width, height = map(int, size.split("*"))
        content = self.picture(script, width, height, "png", prompt)
        url = self.publish(request, script, content, "png")
        message = {"role": "assistant", "content": [{"image": url}]}
        return JSONResponse(
            {
                "output": {"choices": [{"finish_reason": "stop", "message": message}]},
                "usage": {"image_count": 1, "width": width, "height": height},
                "request_id": str(uuid4()),
            }
        )


def _parts(body: dict[str, Any]) -> list[dict[str, Any]]:
    messages = (body.get("input") or {}).get("messages") or []
    parts = messages[0].get("content") if len(messages) == 1 else []
    return [part for part in parts or () if isinstance(part, dict)]


def _prompt(body: dict[str, Any]) -> str:
    return " ".join(part["text"] for part in _parts(body) if "text" in part)


def _pictures(body: dict[str, Any]) -> list[object]:
    return [part["image"] for part in _parts(body) if "image" in part]
