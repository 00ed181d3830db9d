"""Runway: `POST /v1/{text_to_image,image_to_video,text_to_video}`, and its tasks."""

from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from infra.simulators.inputs import NoPictureError, decoded, read_json
from infra.simulators.scripts import Script, Situation
from infra.simulators.simulator import Refusal, Simulator, Task, with_rest

VERSION = "2024-11-06"
MODELS = ("gen4_image", "gen4_image_turbo")
RATIOS = (
    "1024:1024", "1080:1080", "1168:880", "1360:768", "1440:1080", "1080:1440", "1808:768",
    "1920:1080", "1080:1920", "2112:912", "1280:720", "720:1280", "720:720", "960:720",
    "720:960", "1680:720",
)  # fmt: skip
VIDEO_MODELS = ("gen4_turbo", "gen4.5", "veo3.1", "veo3.1_fast")
VIDEO_RATIOS = {
    "1280:720", "720:1280", "1104:832", "832:1104", "960:960", "1584:672", "1080:1920",
    "1920:1080",
}  # fmt: skip
CREDITS = 8
VIDEO_CREDITS_A_SECOND = 5
DATA_URL_CHARS_MAX = 5_242_880
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
            Route("/v1/image_to_video", self.animate, methods=["POST"]),
            Route("/v1/text_to_video", self.film, methods=["POST"]),
            Route("/v1/tasks/{id}", self.task, methods=["GET"]),
            Route("/v1/tasks/{id}", self.cancel, methods=["DELETE"]),
        ]

    def refusal(self, situation: Situation, script: Script) -> Response:
        status, body = REFUSALS[situation]
        return with_rest(JSONResponse(body, status), situation, script)

    async def submit(self, request: Request) -> Response:
        body = await read_json(request)
        pictures = body.get("referenceImages") or []
        script = await self._begin(request, body, [each.get("uri") for each in pictures])
        ratio, is_turbo = body.get("ratio"), body.get("model") == "gen4_image_turbo"
        is_counted = is_turbo <= len(pictures) <= 3
        known = ratio in RATIOS and body.get("model") in MODELS
        if not body.get("promptText") or not known or not is_counted:
            return self.refusal(Situation.BAD_REQUEST, script)
        return self._take(request, script, str(ratio), "png", CREDITS)

    async def animate(self, request: Request) -> Response:
        """From a first frame, and perhaps a prompt."""
        body = await read_json(request)
        frames = body.get("promptImage") or []
        found = [each.get("uri") for each in frames] if isinstance(frames, list) else [frames]
        script = await self._begin(request, body, found)
        return self._video(request, script, body, is_complete=bool(found))

    async def film(self, request: Request) -> Response:
        """From a prompt alone, which one of the models cannot."""
        body = await read_json(request)
        script = await self._begin(request, body, [])
        is_complete = bool(body.get("promptText")) and body.get("model") != "gen4_turbo"
        return self._video(request, script, body, is_complete=is_complete)

    async def _begin(self, request: Request, body: dict[str, Any], uris: list[Any]) -> Script:
        try:
            inputs = [decoded(each, is_data_url=True) for each in uris]
        except NoPictureError:
            raise Refusal(self.refusal(Situation.BAD_REQUEST, Script())) from None
        prompt = str(body.get("promptText") or "")
        script = await self.begin(request, prompt, body, refuses=REFUSES, inputs=inputs)
        if request.headers.get("x-runway-version") != VERSION:
            told = {"error": "X-Runway-Version is not a known version"}
            raise Refusal(JSONResponse(told, 400))
        if any(len(str(each)) > DATA_URL_CHARS_MAX for each in uris):
            raise Refusal(self.refusal(Situation.BAD_REQUEST, script))
        return script

    def _video(
        self, request: Request, script: Script, body: dict[str, Any], *, is_complete: bool
    ) -> Response:
        ratio, seconds = body.get("ratio"), body.get("duration")
        known = ratio in VIDEO_RATIOS and body.get("model") in VIDEO_MODELS
        if not is_complete or not known or type(seconds) is not int or not 2 <= seconds <= 10:
            return self.refusal(Situation.BAD_REQUEST, script)
        credits_used = seconds * VIDEO_CREDITS_A_SECOND
        return self._take(request, script, str(ratio), "mp4", credits_used)

    def _take(
        self, request: Request, script: Script, ratio: str, form: str, credits_used: int
    ) -> Response:
        task_id = self.add_task(script)
        width, height = map(int, ratio.split(":"))
        content = self.picture(script, width, height, form, task_id)
        self.tasks[task_id].result = {
            "id": task_id,
            "createdAt": datetime.now(UTC).isoformat(),
            "output": [self.publish(request, script, content, form)],
            "cost": {"credits": credits_used},
        }
        return JSONResponse({"id": task_id, "estimatedCost": {"credits": credits_used}})

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
    if task.script.situation is Situation.MODERATION:
        failure = {"failure": "Content moderation", "failureCode": "SAFETY.INPUT.TEXT"}
        return {**about, "status": "FAILED", **failure, "cost": task.result["cost"]}
    return {**task.result, "status": "SUCCEEDED"}
