"""ByteDance Ark: `POST /api/v3/images/generations` for Seedream."""

import base64
import re
import time
from typing import Any
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from infra.simulators.inputs import NoPictureError, decoded, read_json
from infra.simulators.scripts import Script, Situation
from infra.simulators.simulator import Simulator, answer, with_rest

MODELS = ("seedream-4-0-250828", "seedream-4-5-251128", "seedream-5-0-260128")
SIZE = re.compile(r"(\d{3,4})x(\d{3,4})")
REFERENCES_MAX = 14
NAMED = {"1K": (1024, 1024), "2K": (2048, 2048), "4K": (4096, 4096)}
REFUSES = frozenset({
    Situation.BAD_REQUEST, Situation.AUTH, Situation.MODERATION, Situation.RATE_LIMIT,
    Situation.CREDIT, Situation.SERVER,
})  # fmt: skip
REFUSALS: dict[Situation, tuple[int, str, str]] = {
    Situation.BAD_REQUEST: (400, "InvalidParameter", "The parameter `size` is not valid."),
    Situation.AUTH: (401, "AuthenticationError", "The API key format is incorrect."),
    Situation.MODERATION: (
        400, "InputTextSensitiveContentDetected", "The input text may contain sensitive content.",
    ),
    Situation.RATE_LIMIT: (429, "RateLimitExceeded.EndpointRPMExceeded", "Requests exceeded."),
    Situation.CREDIT: (403, "AccountOverdueError", "The account has an overdue balance."),
    Situation.SERVER: (500, "InternalServiceError", "The service encountered an error."),
}  # fmt: skip


class SeedreamSimulator(Simulator):
    """Sync, like OpenAI's; fields that are null count as left out."""

    name = "seedream"

    def routes(self) -> list[Route]:
        return [Route("/api/v3/images/generations", self.generate, methods=["POST"])]

    def refusal(self, situation: Situation, script: Script) -> Response:
        return with_rest(_refused(*REFUSALS[situation]), situation, script)

    async def generate(self, request: Request) -> Response:
        given = await read_json(request)
        body = {name: value for name, value in given.items() if value is not None}
        prompt = str(body.get("prompt") or "")
        given_pictures = body.get("image") or []
        addresses = given_pictures if isinstance(given_pictures, list) else [given_pictures]
        try:
            inputs = [decoded(each, is_data_url=True) for each in addresses]
        except NoPictureError:
            return _refused(400, "InvalidParameter", "The parameter `image` is not valid.")
        script = await self.begin(request, prompt, body, refuses=REFUSES, inputs=inputs)
        model = body.get("model")
        if model not in MODELS:
            text = f"The model or endpoint {model} does not exist or you do not have access to it."
            return _refused(404, "InvalidEndpointOrModel.NotFound", text)
        size = str(body.get("size") or "2048x2048")
        found = SIZE.fullmatch(size)
        if not prompt or not (found or size in NAMED) or len(inputs) > REFERENCES_MAX:
            return self.refusal(Situation.BAD_REQUEST, script)
        width, height = (int(found[1]), int(found[2])) if found else NAMED[size]
        await self.wait(script)
        content = self.picture(script, width, height, "jpeg", prompt)
        made: dict[str, Any] = {"size": f"{width}x{height}"}
        if body.get("response_format") == "b64_json":
            made["b64_json"] = base64.b64encode(content).decode()
        else:
            made["url"] = self.publish(request, script, content, "jpeg")
        tokens = width * height // 256
        usage = {"generated_images": 1, "output_tokens": tokens, "total_tokens": tokens}
        told = {"model": model, "created": int(time.time()), "data": [made], "usage": usage}
        if "b64_json" in made:
            return answer(script, told)
        return JSONResponse(told, headers={"x-request-id": uuid4().hex})


def _refused(status: int, code: str, message: str) -> Response:
    error = {"code": code, "message": message, "param": "", "type": "BadRequest"}
    return JSONResponse({"error": error}, status, {"x-request-id": uuid4().hex})
