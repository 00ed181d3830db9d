"""OpenAI's images: `POST /v1/images/{generations,edits}`, `GET /v1/models`."""

import base64
import re
import time
from functools import lru_cache
from typing import Any
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from infra.simulators.inputs import decoded, read_form, read_json
from infra.simulators.scripts import Script, Situation
from infra.simulators.simulator import Refusal, Simulator, answer

MODELS = (
    "gpt-image-1-mini", "gpt-image-1.5", "gpt-image-2", "gpt-image-2-2026-04-21",
    "chatgpt-image-latest",
)  # fmt: skip
PARAMETERS = frozenset({
    "prompt", "model", "n", "size", "quality", "background", "output_format", "output_compression",
    "moderation", "user", "safety_identifier", "stream", "partial_images",
})  # fmt: skip
WORDS = {
    "quality": ("auto", "low", "medium", "high"),
    "background": ("auto", "transparent", "opaque"),
    "output_format": ("png", "jpeg", "webp"),
    "moderation": ("auto", "low"),
}
IMAGES_MAX = 16
SIZES = ("auto", "1024x1024", "1536x1024", "1024x1536")
FREE_SIZE = re.compile(r"(\d{3,4})x(\d{3,4})")
REFUSES = frozenset(Situation) - {
    Situation.SUCCESS, Situation.TIMEOUT, Situation.TRUNCATED, Situation.WRONG_TYPE,
    Situation.NEVER, Situation.DUPLICATE_WEBHOOK,
}  # fmt: skip
REFUSALS: dict[Situation, tuple[int, str, str, str]] = {
    Situation.BAD_REQUEST: (400, "invalid_request_error", "invalid_value", "Invalid value."),
    Situation.AUTH: (
        401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided.",
    ),
    Situation.MODERATION: (
        400, "image_generation_user_error", "moderation_blocked",
        "Your request was rejected by the safety system.",
    ),
    Situation.RATE_LIMIT: (
        429, "requests", "rate_limit_exceeded", "Rate limit reached for images per minute.",
    ),
    Situation.CREDIT: (
        429, "insufficient_quota", "insufficient_quota", "You exceeded your current quota.",
    ),
    Situation.SERVER: (500, "server_error", "server_error", "The server had an error."),
}  # fmt: skip


class OpenAISimulator(Simulator):
    """Sync: the pictures come as base64 in the answer."""

    name = "openai"

    def routes(self) -> list[Route]:
        return [
            Route("/v1/images/generations", self.generate, methods=["POST"]),
            Route("/v1/images/edits", self.edit, methods=["POST"]),
            Route("/v1/models", self.models, methods=["GET"]),
        ]

    def refusal(self, situation: Situation, script: Script) -> Response:
        status, kind, code, message = REFUSALS[situation]
        response = refused(status, message, kind=kind, code=code)
        if situation is Situation.RATE_LIMIT:
            response.headers["retry-after"] = f"{script.retry_after_seconds:g}"
            response.headers["retry-after-ms"] = f"{script.retry_after_seconds * 1000:.0f}"
        return response

    async def models(self, _request: Request) -> Response:
        data = [
            {"id": model, "object": "model", "created": 1_750_000_000, "owned_by": "system"}
            for model in MODELS
        ]
        return JSONResponse({"object": "list", "data": data})

    async def generate(self, request: Request) -> Response:
        body = await read_json(request)
        script = await self.begin(request, str(body.get("prompt")), body, refuses=REFUSES)
        return await self._answer(script, body, image_tokens=0)

    async def edit(self, request: Request) -> Response:
        """Multipart, or JSON with addresses of pictures, which here are data URLs."""
        form = await read_form(request)
        pictures = [*form.files.get("image", ()), *form.files.get("image[]", ())]
        body = _typed(form.texts)
        named = body.pop("images", [])
        pictures += [decoded(each.get("image_url"), is_data_url=True) for each in named]
        inputs = [*pictures, *form.files.get("mask", ())]
        script = await self.begin(
            request, str(body.get("prompt")), form.told(), refuses=REFUSES, inputs=inputs
        )
        if not 1 <= len(pictures) <= IMAGES_MAX or set(form.files) - {"image", "image[]", "mask"}:
            message = "Missing required parameter: 'image'."
            raise Refusal(refused(400, message, code="missing_required_parameter", param="image"))
        body.pop("input_fidelity", None)
        return await self._answer(script, body, image_tokens=272 * len(pictures))

    async def _answer(self, script: Script, body: dict[str, Any], image_tokens: int) -> Response:
        width, height = _checked(body)
        await self.wait(script)
        form, prompt = body.get("output_format") or "png", str(body["prompt"])
        count = body.get("n") or 1
        data = [
            {"b64_json": _base64(self.picture(script, width, height, form, prompt, number))}
            for number in range(count)
        ]
        tokens = width * height // 256 * count
        return answer(
            script,
            {
                "created": int(time.time()),
                "background": "opaque",
                "output_format": form,
                "quality": body.get("quality") or "medium",
                "size": f"{width}x{height}",
                "data": data,
                "usage": {
                    "input_tokens": 10 + image_tokens,
                    "input_tokens_details": {"text_tokens": 10, "image_tokens": image_tokens},
                    "output_tokens": tokens,
                    "total_tokens": tokens + 10 + image_tokens,
                },
            },
            {"x-request-id": f"req_{uuid4().hex}"},
        )


def _typed(texts: dict[str, Any]) -> dict[str, Any]:
    """Forms send numbers as text."""
    numbers = ("n", "output_compression")
    return {
        name: int(value) if name in numbers and str(value).isdecimal() else value
        for name, value in texts.items()
    }


def _checked(body: dict[str, Any]) -> tuple[int, int]:
    unknown = sorted(set(body) - PARAMETERS)
    if unknown:
        message = f"Unknown parameter: '{unknown[0]}'."
        raise Refusal(refused(400, message, code="unknown_parameter", param=unknown[0]))
    if not isinstance(body.get("prompt"), str) or not body["prompt"]:
        message = "Missing required parameter: 'prompt'."
        raise Refusal(refused(400, message, code="missing_required_parameter", param="prompt"))
    model = body.get("model")
    if model not in MODELS:
        message = f"The model '{model}' does not exist or you do not have access to it."
        raise Refusal(refused(404, message, code="model_not_found", param="model"))
    count = body.get("n")
    if count is not None and (type(count) is not int or not 1 <= count <= 10):
        raise Refusal(refused(400, "Invalid 'n'.", code="invalid_value", param="n"))
    for name, known in WORDS.items():
        if body.get(name) is not None and body[name] not in known:
            message = f"Invalid value for '{name}'."
            raise Refusal(refused(400, message, code="invalid_value", param=name))
    return _size(str(model), body.get("size") or "auto")


def _size(model: str, size: object) -> tuple[int, int]:
    found = FREE_SIZE.fullmatch(str(size))
    if size not in SIZES and not (found and model.startswith("gpt-image-2")):
        raise Refusal(refused(400, f"Invalid size '{size}'.", code="invalid_value", param="size"))
    return (int(found[1]), int(found[2])) if found else (1024, 1024)


def refused(
    status: int,
    message: str,
    *,
    kind: str = "invalid_request_error",
    code: str | None = None,
    param: str | None = None,
) -> Response:
    """An error in OpenAI's shape."""
    error = {"message": message, "type": kind, "param": param, "code": code}
    headers = {"x-request-id": f"req_{uuid4().hex}"}
    return JSONResponse({"error": error}, status, headers)


@lru_cache(maxsize=16)
def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
