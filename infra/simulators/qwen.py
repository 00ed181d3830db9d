"""DashScope: `POST /api/v1/services/aigc/multimodal-generation/generation` for Qwen image."""

from typing import Any
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from infra.simulators.scripts import Script, Situation
from infra.simulators.simulator import Simulator, read_json, with_rest

MODELS = ("qwen-image", "qwen-image-plus", "qwen-image-max")
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

    def is_authorised(self, request: Request) -> bool:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        return scheme == "Bearer" and key not in {"", "wrong"}

    def refusal(self, situation: Situation, script: Script) -> Response:
        status, code, message = REFUSALS[situation]
        body = {"code": code, "message": message, "request_id": str(uuid4())}
        return with_rest(JSONResponse(body, status), situation, script)

    async def generate(self, request: Request) -> Response:
        body = await read_json(request)
        prompt = _prompt(body)
        script = await self.begin(request, prompt, body, refuses=REFUSES)
        size = str((body.get("parameters") or {}).get("size") or "1328*1328")
        if body.get("model") not in MODELS:
            told = {"code": "ModelNotFound", "message": "Model not exist."}
            return JSONResponse({**told, "request_id": str(uuid4())}, 404)
        if not prompt or size not in SIZES:
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


def _prompt(body: dict[str, Any]) -> str:
    messages = (body.get("input") or {}).get("messages") or []
    parts = messages[0].get("content") if len(messages) == 1 else []
    return " ".join(part["text"] for part in parts or () if "text" in part)
