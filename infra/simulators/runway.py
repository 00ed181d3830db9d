"""Runway: `POST /v1/text_to_image`, `GET` and `DELETE /v1/tasks/{id}`."""

from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from infra.simulators.scripts import Script, Situation
from infra.simulators.simulator import Simulator, Task, read_json, with_rest

VERSION = "2024-11-06"
MODELS = ("gen4_image", "gen4_image_turbo")
RATIOS = (
    "1024:1024", "1080:1080", "1168:880", "1360:768", "1440:1080", "1080:1440", "1808:768",
    "1920:1080", "1080:1920", "2112:912", "1280:720", "720:1280", "720:720", "960:720",
    "720:960", "1680:720",
)  # fmt: skip
CREDITS = 8
REFUSES = frozenset({
    Situation.BAD_REQUEST, Situation.AUTH, Situation.RATE_LIMIT, Situation.CREDIT, Situation.SERVER,
})  # fmt: skip
REFUSALS = {
    Situation.BAD_REQUEST: (
        400, {"error": "Validation of body failed", "issues": [
            {"code": "invalid_value", "path": ["ratio"], "message": "Invalid option"},
        ]},
    ),
    Situation.AUTH: (401, {"error": "Unauthorized"}),
    Situation.RATE_LIMIT: (429, {"error": "Rate limit exceeded."}),
    Situation.CREDIT: (400, {"error": "You do not have enough credits to run this task."}),
    Situation.SERVER: (503, {"error": "Service is overloaded."}),
}  # fmt: skip


class RunwaySimulator(Simulator):
    """Submit and poll: moderation shows as a failed task."""

    name = "runway"

    def routes(self) -> list[Route]:
        return [
            Route("/v1/text_to_image", self.submit, methods=["POST"]),
            Route("/v1/tasks/{id}", self.task, methods=["GET"]),
            Route("/v1/tasks/{id}", self.cancel, methods=["DELETE"]),
        ]

    def is_authorised(self, request: Request) -> bool:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        return scheme == "Bearer" and key not in {"", "wrong"}

    def refusal(self, situation: Situation, script: Script) -> Response:
        status, body = REFUSALS[situation]
        return with_rest(JSONResponse(body, status), situation, script)

    async def submit(self, request: Request) -> Response:
        body = await read_json(request)
        prompt = str(body.get("promptText") or "")
        script = await self.begin(request, prompt, body, refuses=REFUSES)
        ratio = body.get("ratio")
        if request.headers.get("x-runway-version") != VERSION:
            return JSONResponse({"error": "X-Runway-Version is not a known version"}, 400)
        if not prompt or ratio not in RATIOS or body.get("model") not in MODELS:
            return self.refusal(Situation.BAD_REQUEST, script)
        task_id = self.add_task(script)
        width, height = map(int, str(ratio).split(":"))
        content = self.picture(script, width, height, "png", prompt)
        url = self.publish(request, script, content, "png")
        created = datetime.now(UTC).isoformat()
        self.tasks[task_id].result = {"id": task_id, "createdAt": created, "output": [url]}
        return JSONResponse({"id": task_id, "estimatedCost": {"credits": CREDITS}})

    async def task(self, request: Request) -> Response:
        task = self.tasks.get(request.path_params["id"])
        if task is None or task.is_cancelled:
            return JSONResponse({"error": "Task not found"}, 404)
        return JSONResponse(_state(task))

    async def cancel(self, request: Request) -> Response:
        if task := self.tasks.get(request.path_params["id"]):
            task.is_cancelled = True
        return Response(status_code=204)


def _state(task: Task) -> dict[str, Any]:
    about = {name: task.result[name] for name in ("id", "createdAt")}
    if not task.is_ready:
        return {**about, "status": "RUNNING", "progress": 0.5}
    cost = {"cost": {"credits": CREDITS}}
    if task.script.situation is Situation.MODERATION:
        failure = {"failure": "Content moderation", "failureCode": "SAFETY.INPUT.TEXT"}
        return {**about, "status": "FAILED", **failure, **cost}
    return {**task.result, "status": "SUCCEEDED", **cost}
