"""Google Gemini: `POST /{v1,v1beta}/models/{model}:generateContent`."""

import base64
from typing import Any
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from infra.simulators.inputs import NoPictureError, decoded, read_json
from infra.simulators.scripts import Script, Situation
from infra.simulators.simulator import Refusal, Simulator, answer

MODELS = (
    "gemini-2.5-flash-image", "gemini-3.1-flash-image", "gemini-3.1-flash-lite-image",
    "gemini-3-pro-image",
)  # fmt: skip
RATIOS = {
    "1:1": (1024, 1024), "2:3": (832, 1248), "3:2": (1248, 832), "3:4": (864, 1184),
    "4:3": (1184, 864), "4:5": (896, 1152), "5:4": (1152, 896), "9:16": (768, 1344),
    "16:9": (1344, 768), "21:9": (1536, 672),
}  # fmt: skip
REFUSES = frozenset({
    Situation.BAD_REQUEST, Situation.AUTH, Situation.RATE_LIMIT, Situation.CREDIT, Situation.SERVER,
})  # fmt: skip


class GeminiSimulator(Simulator):
    """Sync: the picture is a part of the answer. A refused prompt is answered with 200."""

    name = "gemini"

    def routes(self) -> list[Route]:
        return [
            Route(f"/{version}/models/{{call}}", self.generate, methods=["POST"])
            for version in ("v1", "v1beta")
        ]

    def is_authorised(self, request: Request) -> bool:
        key = request.headers.get("x-goog-api-key") or request.query_params.get("key", "")
        return key not in {"", "wrong"}

    def refusal(self, situation: Situation, script: Script) -> Response:
        match situation:
            case Situation.RATE_LIMIT:
                delay = f"{script.retry_after_seconds:g}s"
                info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}
                return refused(429, "RESOURCE_EXHAUSTED", "Resource has been exhausted.", [info])
            case Situation.CREDIT:
                violation = {
                    "quotaMetric": "generativelanguage.googleapis.com/generate_requests_per_day",
                    "quotaId": "GenerateRequestsPerDayPerProjectPerModel",
                }
                kind = "type.googleapis.com/google.rpc.QuotaFailure"
                failure = {"@type": kind, "violations": [violation]}
                return refused(
                    429, "RESOURCE_EXHAUSTED", "You exceeded your current quota.", [failure]
                )
            case Situation.AUTH:
                return refused(400, "INVALID_ARGUMENT", "API key not valid.")
            case Situation.SERVER:
                return refused(503, "UNAVAILABLE", "The model is overloaded.")
            case _:
                return refused(400, "INVALID_ARGUMENT", "Request contains an invalid argument.")

    async def generate(self, request: Request) -> Response:
        body = await read_json(request)
        model, _, method = request.path_params["call"].partition(":")
        if method != "generateContent" or model not in MODELS:
            return refused(404, "NOT_FOUND", f"models/{model} is not found for API version v1beta.")
        prompt = _prompt(body)
        try:
            inputs = [decoded(_standard(each.get("data"))) for each in _inline(body)]
        except NoPictureError:
            return refused(400, "INVALID_ARGUMENT", "Unable to process input image.")
        script = await self.begin(request, prompt, body, refuses=REFUSES, inputs=inputs)
        if not prompt:
            return refused(400, "INVALID_ARGUMENT", "contents is not specified")
        await self.wait(script)
        usage = {"promptTokenCount": 12, "candidatesTokenCount": 1290, "totalTokenCount": 1302}
        told: dict[str, Any] = {"modelVersion": model, "responseId": uuid4().hex}
        if script.situation is Situation.MODERATION:
            feedback = {"promptFeedback": {"blockReason": "SAFETY"}}
            return answer(script, {**feedback, "usageMetadata": {"promptTokenCount": 12}, **told})
        width, height = RATIOS[_ratio(body)]
        content = self.picture(script, width, height, "png", prompt)
        data = base64.b64encode(content).decode()
        parts = [
            {"text": "Here is your picture."},
            {"inlineData": {"mimeType": "image/png", "data": data}},
        ]
        candidate = {
            "content": {"role": "model", "parts": parts},
            "finishReason": "STOP",
            "index": 0,
        }
        return answer(script, {"candidates": [candidate], "usageMetadata": usage, **told})


def _prompt(body: dict[str, Any]) -> str:
    texts = [
        part["text"]
        for content in body.get("contents") or ()
        for part in content.get("parts") or ()
        if isinstance(part.get("text"), str)
    ]
    return " ".join(texts)


def _inline(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The pictures among the parts, in camel or in snake case."""
    parts = [part for content in body.get("contents") or () for part in content.get("parts") or ()]
    found = [part.get("inlineData") or part.get("inline_data") for part in parts]
    return [each for each in found if isinstance(each, dict)]


def _standard(data: object) -> str:
    """Base64 in its usual alphabet; theirs is also taken in the one for URLs."""
    return str(data).replace("-", "+").replace("_", "/")


def _ratio(body: dict[str, Any]) -> str:
    config = body.get("generationConfig") or {}
    image = config.get("imageConfig") or config.get("image_config") or {}
    ratio = image.get("aspectRatio") or image.get("aspect_ratio") or "1:1"
    if ratio not in RATIOS:
        raise Refusal(refused(400, "INVALID_ARGUMENT", "aspect_ratio is not supported"))
    return str(ratio)


def refused(
    status: int, name: str, message: str, details: list[dict[str, Any]] | None = None
) -> Response:
    """An error in Google's shape."""
    error: dict[str, Any] = {"code": status, "message": message, "status": name}
    if details:
        error["details"] = details
    return JSONResponse({"error": error}, status)
