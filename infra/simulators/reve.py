"""Reve: `POST /v1/image/{create,edit,remix}`, answered as JSON or as the picture itself."""

import base64
from typing import Any
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from infra.simulators.inputs import NoPictureError, decoded, read_json
from infra.simulators.scripts import Script, Situation
from infra.simulators.simulator import Simulator, answer, truncated, with_rest

RATIOS = {
    "16:9": (1344, 768), "3:2": (1248, 832), "4:3": (1184, 864), "1:1": (1024, 1024),
    "3:4": (864, 1184), "2:3": (832, 1248), "9:16": (768, 1344), "auto": (1248, 832),
}  # fmt: skip
REFERENCES_MAX = 6
REFUSES = frozenset({
    Situation.BAD_REQUEST, Situation.AUTH, Situation.RATE_LIMIT, Situation.CREDIT, Situation.SERVER,
})  # fmt: skip
REFUSALS: dict[Situation, tuple[int, str, str]] = {
    Situation.BAD_REQUEST: (400, "INVALID_PARAMETER_VALUE", "prompt is not valid"),
    Situation.AUTH: (401, "INVALID_API_KEY", "The API key is not valid"),
    Situation.RATE_LIMIT: (429, "RATE_LIMIT_EXCEEDED", "Too many requests"),
    Situation.CREDIT: (402, "INSUFFICIENT_CREDITS", "The budget is exhausted"),
    Situation.SERVER: (500, "INTERNAL_ERROR", "Something went wrong"),
}


class ReveSimulator(Simulator):
    """Sync, one picture a call; what it does not allow is a flag on a 200."""

    name = "reve"

    def routes(self) -> list[Route]:
        return [
            Route("/v1/image/create", self.create, methods=["POST"]),
            Route("/v1/image/edit", self.edit, methods=["POST"]),
            Route("/v1/image/remix", self.remix, methods=["POST"]),
        ]

    def refusal(self, situation: Situation, script: Script) -> Response:
        status, code, message = REFUSALS[situation]
        body = {"error_code": code, "message": message}
        headers = {"x-reve-request-id": f"rsid-{uuid4().hex}"}
        return with_rest(JSONResponse(body, status, headers), situation, script)

    async def create(self, request: Request) -> Response:
        body = await read_json(request)
        return await self._make(request, body, str(body.get("prompt") or ""), [])

    async def edit(self, request: Request) -> Response:
        body = await read_json(request)
        prompt = str(body.get("edit_instruction") or "")
        return await self._make(request, body, prompt, [body.get("reference_image")])

    async def remix(self, request: Request) -> Response:
        body = await read_json(request)
        references = body.get("reference_images")
        if not isinstance(references, list) or not 1 <= len(references) <= REFERENCES_MAX:
            return self.refusal(Situation.BAD_REQUEST, Script())
        return await self._make(request, body, str(body.get("prompt") or ""), references)

    async def _make(
        self, request: Request, body: dict[str, Any], prompt: str, references: list[Any]
    ) -> Response:
        try:
            inputs = [decoded(each) for each in references]
        except NoPictureError:
            return self.refusal(Situation.BAD_REQUEST, Script())
        script = await self.begin(request, prompt, body, refuses=REFUSES, inputs=inputs)
        ratio = str(body.get("aspect_ratio") or "3:2")
        if not prompt or ratio not in RATIOS:
            return self.refusal(Situation.BAD_REQUEST, script)
        await self.wait(script)
        violates = script.situation is Situation.MODERATION
        told: dict[str, Any] = {
            "version": body.get("version") or "reve-create@20250915",
            "content_violation": violates,
            "request_id": f"rsid-{uuid4().hex}",
            "credits_used": 30 if references else 18,
            "credits_remaining": 982,
        }
        form = request.headers.get("accept", "").partition("image/")[2].partition(",")[0]
        content = self.picture(script, *RATIOS[ratio], form or "png", prompt)
        if form:
            headers = {f"x-reve-{name.replace('_', '-')}": _text(told[name]) for name in told}
            if script.situation is Situation.TRUNCATED:
                return truncated(content, f"image/{form}", headers)
            return Response(content, media_type=f"image/{form}", headers=headers)
        image = "" if violates else base64.b64encode(content).decode()
        return answer(script, {"image": image, **told})


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
