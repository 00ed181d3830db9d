"""Ideogram: `POST /v1/ideogram-v3/generate`, as JSON or multipart."""

from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from infra.simulators.scripts import Script, Situation
from infra.simulators.simulator import Refusal, Simulator, read_json, with_rest

RATIOS = {
    "1x1": (1024, 1024), "1x3": (512, 1536), "3x1": (1536, 512), "1x2": (704, 1408),
    "2x1": (1408, 704), "9x16": (736, 1312), "16x9": (1312, 736), "10x16": (800, 1280),
    "16x10": (1280, 800), "2x3": (832, 1248), "3x2": (1248, 832), "3x4": (864, 1152),
    "4x3": (1152, 864), "4x5": (896, 1120), "5x4": (1120, 896),
}  # fmt: skip
REFUSES = frozenset({
    Situation.BAD_REQUEST, Situation.AUTH, Situation.RATE_LIMIT, Situation.CREDIT, Situation.SERVER,
})  # fmt: skip
REFUSALS = {
    Situation.BAD_REQUEST: (400, {"error": "Invalid value for style_type"}),
    Situation.AUTH: (401, {"error": "Invalid API key"}),
    Situation.RATE_LIMIT: (
        429, {"error": "Too many requests", "reject_reason": "inflight_limit"},
    ),
    Situation.CREDIT: (
        402, {"error": "Insufficient funds", "reject_reason": "insufficient_funds"},
    ),
    Situation.SERVER: (503, {"error": "Service unavailable"}),
}  # fmt: skip


class IdeogramSimulator(Simulator):
    """Sync: a picture that is not safe is answered with 200 and without a URL."""

    name = "ideogram"

    def routes(self) -> list[Route]:
        return [Route("/v1/ideogram-v3/generate", self.generate, methods=["POST"])]

    def is_authorised(self, request: Request) -> bool:
        return request.headers.get("api-key", "") not in {"", "wrong"}

    def refusal(self, situation: Situation, script: Script) -> Response:
        status, body = REFUSALS[situation]
        return with_rest(JSONResponse(body, status), situation, script)

    async def generate(self, request: Request) -> Response:
        body = await _read(request)
        prompt = str(body.get("prompt") or "")
        script = await self.begin(request, prompt, body, refuses=REFUSES)
        if not prompt:
            return JSONResponse({"error": "prompt is required"}, 400)
        width, height = _size(str(body.get("aspect_ratio") or "1x1"))
        await self.wait(script)
        is_safe = script.situation is not Situation.MODERATION
        data = []
        for number in range(int(body.get("num_images") or 1)):
            content = self.picture(script, width, height, "png", prompt, number)
            url = self.publish(request, script, content, "png") if is_safe else None
            data.append(
                {
                    "url": url,
                    "prompt": prompt,
                    "resolution": f"{width}x{height}",
                    "is_image_safe": is_safe,
                    "seed": int(body.get("seed") or 12345) + number,
                    "style_type": body.get("style_type") or "GENERAL",
                }
            )
        return JSONResponse({"created": datetime.now(UTC).isoformat(), "data": data})


async def _read(request: Request) -> dict[str, Any]:
    if "multipart" in request.headers.get("content-type", ""):
        return dict(await request.form())
    return await read_json(request)


def _size(ratio: str) -> tuple[int, int]:
    if ratio not in RATIOS:
        raise Refusal(JSONResponse({"error": f"Invalid aspect_ratio {ratio}"}, 400))
    return RATIOS[ratio]
