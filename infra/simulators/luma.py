"""Luma: `POST /dream-machine/v1/generations/image`, `GET` and `DELETE` of a generation."""

from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from infra.simulators.scripts import Script, Situation
from infra.simulators.simulator import Simulator, Task, read_json, with_rest

MODELS = ("photon-1", "photon-flash-1")
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
            Route(f"{base}/{{id}}", self.generation, methods=["GET"]),
            Route(f"{base}/{{id}}", self.delete, methods=["DELETE"]),
        ]

    def is_authorised(self, request: Request) -> bool:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        return scheme == "Bearer" and key not in {"", "wrong"}

    def refusal(self, situation: Situation, script: Script) -> Response:
        status, detail = REFUSALS[situation]
        return with_rest(JSONResponse({"detail": detail}, status), situation, script)

    async def submit(self, request: Request) -> Response:
        body = await read_json(request)
        prompt = str(body.get("prompt") or "")
        script = await self.begin(request, prompt, body, refuses=REFUSES)
        ratio = str(body.get("aspect_ratio") or "16:9")
        if not prompt or ratio not in RATIOS or body.get("model") not in MODELS:
            return self.refusal(Situation.BAD_REQUEST, script)
        task_id = self.add_task(script)
        form = "png" if body.get("format") == "png" else "jpeg"
        content = self.picture(script, *RATIOS[ratio], form, prompt)
        self.tasks[task_id].result = {
            "id": task_id,
            "generation_type": "image",
            "created_at": datetime.now(UTC).isoformat(),
            "model": body["model"],
            "request": {"prompt": prompt, "generation_type": "image", "model": body["model"]},
            "assets": {"image": self.publish(request, script, content, form)},
        }
        return JSONResponse(_state(self.tasks[task_id], is_new=True), 201)

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
