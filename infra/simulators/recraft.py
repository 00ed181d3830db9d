"""Recraft: `POST /v1/images/generations`."""

import time
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from infra.simulators.scripts import Script, Situation
from infra.simulators.simulator import Simulator, read_json, with_rest

CREDITS = {"recraftv3": 40, "recraftv2": 22, "recraftv4_1": 35}
REFUSES = frozenset({
    Situation.BAD_REQUEST, Situation.AUTH, Situation.MODERATION, Situation.RATE_LIMIT,
    Situation.CREDIT, Situation.SERVER,
})  # fmt: skip
REFUSALS: dict[Situation, tuple[int, str, str]] = {
    Situation.BAD_REQUEST: (400, "invalid_request_parameter", "size is not supported"),
    Situation.MODERATION: (400, "moderation", "prompt was rejected by moderation"),
    Situation.RATE_LIMIT: (429, "rate_limit", "too many requests"),
    Situation.CREDIT: (402, "not_enough_credits", "not enough credits"),
    Situation.SERVER: (500, "internal", "internal error"),
}


class RecraftSimulator(Simulator):
    """Sync: pictures at URLs, or as base64 if asked for."""

    name = "recraft"

    def routes(self) -> list[Route]:
        return [Route("/v1/images/generations", self.generate, methods=["POST"])]

    def is_authorised(self, request: Request) -> bool:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        return scheme == "Bearer" and key not in {"", "wrong"}

    def refusal(self, situation: Situation, script: Script) -> Response:
        if situation is Situation.AUTH:
            return PlainTextResponse("request unauthorized", 401)
        status, code, message = REFUSALS[situation]
        response = JSONResponse({"code": code, "message": message}, status)
        return with_rest(response, situation, script)

    async def generate(self, request: Request) -> Response:
        body = await read_json(request)
        prompt = str(body.get("prompt") or "")
        script = await self.begin(request, prompt, body, refuses=REFUSES)
        model = str(body.get("model") or "recraftv4_1")
        if not prompt or model not in CREDITS:
            return self.refusal(Situation.BAD_REQUEST, script)
        width, height = map(int, str(body.get("size") or "1024x1024").split("x"))
        await self.wait(script)
        count = body.get("n") or 1
        data = []
        for number in range(count):
            content = self.picture(script, width, height, "webp", prompt, number)
            data.append(
                {"image_id": str(uuid4()), "url": self.publish(request, script, content, "webp")}
            )
        credits_used = CREDITS[model] * count
        return JSONResponse({"created": int(time.time()), "credits": credits_used, "data": data})
