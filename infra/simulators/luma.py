"""Luma: `POST /dream-machine/v1/generations/{image,video}`, `GET` and `DELETE` of one."""

from datetime import UTC, datetime
from typing import Any

import aiohttp
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from infra.simulators.inputs import read_json
from infra.simulators.scripts import Script, Situation
from infra.simulators.simulator import Refusal, Simulator, Task, with_rest

MODELS = ("photon-1", "photon-flash-1")
VIDEO_MODELS = ("ray-2", "ray-flash-2")
FETCH_SECONDS = 10.0
PICTURE_BYTES_MAX = 20_000_000
RATIOS = {
    "1:1": (1024, 1024), "16:9": (1344, 768), "9:16": (768, 1344), "4:3": (1184, 864),
    "3:4": (864, 1184), "21:9": (1536, 672), "9:21": (672, 1536),
}  # fmt: skip
REFUSES = frozenset({
    Situation.BAD_REQUEST, Situation.AUTH, Situation.RATE_LIMIT, Situation.CREDIT, Situation.SERVER,
})  # fmt: skip
REFUSALS: dict[Situation, tuple[int, str]] = {
    Situation.BAD_REQUEST: (400, "Invalid aspect ratio"),
    Situation.AUTH: (401, "Not authenticated"),
    Situation.RATE_LIMIT: (429, "Too many requests"),
    Situation.CREDIT: (402, "Insufficient credits"),
    Situation.SERVER: (500, "Internal server error"),
}


class LumaSimulator(Simulator):
    """Submit and poll."""

    name = "luma"

    def routes(self) -> list[Route]:
        base = "/dream-machine/v1/generations"
        return [
            Route(f"{base}/image", self.submit, methods=["POST"]),
            Route(f"{base}/video", self.film, methods=["POST"]),
            Route(f"{base}/{{id}}", self.generation, methods=["GET"]),
            Route(f"{base}/{{id}}", self.delete, methods=["DELETE"]),
        ]

    def refusal(self, situation: Situation, script: Script) -> Response:
        status, detail = REFUSALS[situation]
        return with_rest(JSONResponse({"detail": detail}, status), situation, script)

    async def submit(self, request: Request) -> Response:
        body = await read_json(request)
        named = [
            *(each.get("url") for each in body.get("image_ref") or ()),
            *(each.get("url") for each in body.get("style_ref") or ()),
            *((body.get("character_ref") or {}).get("identity0") or {}).get("images", ()),
        ]
        if modified := body.get("modify_image_ref"):
            named.append(modified.get("url"))
        form = "png" if body.get("format") == "png" else "jpeg"
        return await self._take(request, body, named, MODELS, form)

    async def film(self, request: Request) -> Response:
        body = await read_json(request)
        frames = [each for each in (body.get("keyframes") or {}).values() if isinstance(each, dict)]
        named = [each.get("url") for each in frames if each.get("type") == "image"]
        return await self._take(request, body, named, VIDEO_MODELS, "mp4")

    async def _take(
        self,
        request: Request,
        body: dict[str, Any],
        named: list[Any],
        models: tuple[str, ...],
        form: str,
    ) -> Response:
        prompt = str(body.get("prompt") or "")
        inputs = [await self._fetched(each) for each in named]
        script = await self.begin(request, prompt, body, refuses=REFUSES, inputs=inputs)
        ratio = str(body.get("aspect_ratio") or "16:9")
        if not prompt or ratio not in RATIOS or body.get("model") not in models:
            return self.refusal(Situation.BAD_REQUEST, script)
        task_id = self.add_task(script)
        content = self.picture(script, *RATIOS[ratio], form, prompt)
        kind = "video" if form == "mp4" else "image"
        self.tasks[task_id].result = {
            "id": task_id,
            "generation_type": kind,
            "created_at": datetime.now(UTC).isoformat(),
            "model": body["model"],
            "request": {"prompt": prompt, "generation_type": kind, "model": body["model"]},
            "assets": {kind: self.publish(request, script, content, form)},
        }
        return JSONResponse(_state(self.tasks[task_id], is_new=True), 201)

    async def _fetched(self, url: object) -> bytes:
        """What lies at an address that was named: this provider takes pictures in no other way."""
        timeout = aiohttp.ClientTimeout(FETCH_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(str(url)) as response,
            ):
                response.raise_for_status()
                content = bytearray()
                # One read answers what has come so far.
                while chunk := await response.content.read(PICTURE_BYTES_MAX - len(content)):
                    content += chunk
                return bytes(content)
        except (aiohttp.ClientError, TimeoutError, ValueError):
            raise Refusal(JSONResponse({"detail": "Could not fetch the image"}, 400)) from None

    async def generation(self, request: Request) -> Response:
        task = self.tasks.get(request.path_params["id"])
        if task is None or task.is_cancelled:
            return JSONResponse({"detail": "Generation not found"}, 404)
        return JSONResponse(_state(task))

    async def delete(self, request: Request) -> Response:
        if task := self.tasks.get(request.path_params["id"]):
            task.is_cancelled = True
        return Response(status_code=204)


def _state(task: Task, *, is_new: bool = False) -> dict[str, Any]:
    about = {**task.result, "assets": None, "failure_reason": None}
    if is_new:
        return {**about, "state": "queued"}
    if not task.is_ready:
        return {**about, "state": "dreaming"}
    if task.script.situation is Situation.MODERATION:
        return {**about, "state": "failed", "failure_reason": "Content moderation failed"}
    return {**task.result, "failure_reason": None, "state": "completed"}
