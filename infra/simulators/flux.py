"""Black Forest Labs: `POST /v1/<model>`, `GET /v1/get_result`, results that expire, webhooks."""

import asyncio
import hashlib
import hmac
import json
import re
from typing import Any

import aiohttp
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from infra.simulators.inputs import NoPictureError, decoded, read_json
from infra.simulators.scripts import Script, Situation
from infra.simulators.simulator import Refusal, Simulator, Task

MODELS = (
    "flux-pro-1.1", "flux-pro-1.1-ultra", "flux-dev", "flux-kontext-pro", "flux-kontext-max",
    "flux-pro-1.0-fill", "flux-pro-1.0-expand", "flux-2-pro", "flux-2-max", "flux-2-flex",
    "flux-2-klein-4b", "flux-2-klein-9b", "flux-2-pro-preview",
)  # fmt: skip
FILL, EXPAND = "flux-pro-1.0-fill", "flux-pro-1.0-expand"
# What each kind of model may be given pictures in, as base64 or as a URL.
PICTURES = {
    "flux-pro-1.1": ("image_prompt",),
    "flux-pro-1.1-ultra": ("image_prompt",),
    "flux-dev": ("image_prompt",),
    FILL: ("image", "mask"),
    EXPAND: ("image",),
    **{
        model: ("input_image", *(f"input_image_{place}" for place in range(2, 5)))
        for model in ("flux-kontext-pro", "flux-kontext-max", "flux-2-klein-4b", "flux-2-klein-9b")
    },
}
FLUX_2 = ("input_image", *(f"input_image_{place}" for place in range(2, 9)))
# The least and the most of each number that a kind of model takes, and what it is a multiple of.
Limits = dict[str, tuple[float, float, int]]
SIDES: Limits = {"width": (256, 1440, 32), "height": (256, 1440, 32)}
SIDES_2: Limits = {"width": (64, 4096, 16), "height": (64, 4096, 16)}
REFINED: Limits = {"steps": (15, 50, 1), "guidance": (1.5, 100, 0)}
NUMBERS: dict[str, Limits] = {
    "flux-pro-1.1": SIDES,
    "flux-pro-1.1-ultra": {"image_prompt_strength": (0, 1, 0)},
    "flux-dev": {**SIDES, "steps": (1, 50, 1), "guidance": (1.5, 5, 0)},
    "flux-kontext-pro": {},
    "flux-kontext-max": {},
    FILL: REFINED,
    EXPAND: {**REFINED, **dict.fromkeys(("top", "bottom", "left", "right"), (0, 2048, 1))},
    "flux-2-flex": {**SIDES_2, "steps": (1, 50, 1), "guidance": (1.5, 10, 0)},
}
FORMATS = ("jpeg", "png", "webp")
RATIO = re.compile(r"([1-9]\d?):([1-9]\d?)")
COSTS = {"flux-pro-1.1-ultra": 6.0, "flux-kontext-max": 8.0, "flux-dev": 2.5}
REFUSES = frozenset({
    Situation.BAD_REQUEST, Situation.AUTH, Situation.RATE_LIMIT, Situation.CREDIT, Situation.SERVER,
})  # fmt: skip
REFUSALS: dict[Situation, tuple[int, object]] = {
    Situation.BAD_REQUEST: (
        422, [{"loc": ["body", "width"], "msg": "Input should be valid", "type": "value_error"}],
    ),
    Situation.AUTH: (403, "Not authenticated - Invalid Authentication"),
    Situation.CREDIT: (402, "Insufficient credits."),
    Situation.RATE_LIMIT: (429, "Too many active tasks."),
    Situation.SERVER: (503, "Service unavailable."),
}  # fmt: skip


class FluxSimulator(Simulator):
    """Submit and poll: moderation shows in the poll."""

    name = "flux"

    def __init__(self) -> None:
        super().__init__()
        self._deliveries: set[asyncio.Task[None]] = set()

    def routes(self) -> list[Route]:
        return [
            Route("/v1/get_result", self.result, methods=["GET"]),
            Route("/v1/credits", self.credits, methods=["GET"]),
            Route("/v1/{model}", self.submit, methods=["POST"]),
        ]

    def is_authorised(self, request: Request) -> bool:
        return request.headers.get("x-key", "") not in {"", "wrong"}

    def refusal(self, situation: Situation, script: Script) -> Response:
        status, detail = REFUSALS[situation]
        headers = {}
        if situation is Situation.RATE_LIMIT:
            headers["retry-after"] = f"{script.retry_after_seconds:g}"
        return JSONResponse({"detail": detail}, status, headers)

    async def credits(self, _request: Request) -> Response:
        return JSONResponse({"credits": 1000.0})

    async def submit(self, request: Request) -> Response:
        body = await read_json(request)
        model = request.path_params["model"]
        if model not in MODELS:
            return JSONResponse({"detail": "Not Found"}, 404)
        prompt = body.get("prompt")
        inputs = _inputs(model, body)
        script = await self.begin(request, str(prompt), body, refuses=REFUSES, inputs=inputs)
        width, height = _checked(model, body)
        task_id = self.add_task(script)
        form = body.get("output_format") or "jpeg"
        content = self.picture(script, width, height, form, str(prompt))
        self.tasks[task_id].result = {
            "sample": self.publish(request, script, content, form),
            "prompt": prompt,
            "seed": body.get("seed") or 42,
        }
        cost = {"cost": COSTS.get(model, 4.0), "input_mp": 0.0, "output_mp": 1.0}
        if webhook_url := body.get("webhook_url"):
            self._deliver(task_id, webhook_url, str(body.get("webhook_secret") or ""))
            told = {"status": "Pending", "webhook_url": webhook_url}
            return JSONResponse({"id": task_id, **told, **cost})
        polling_url = f"{self.address(request)}/v1/get_result?id={task_id}"
        return JSONResponse({"id": task_id, "polling_url": polling_url, **cost})

    async def result(self, request: Request) -> Response:
        task_id = request.query_params.get("id", "")
        return JSONResponse(_state(task_id, self.tasks.get(task_id)))

    def _deliver(self, task_id: str, url: str, secret: str) -> None:
        task = asyncio.create_task(self._call_back(task_id, url, secret))
        self._deliveries.add(task)
        task.add_done_callback(self._deliveries.discard)

    async def _call_back(self, task_id: str, url: str, secret: str) -> None:
        task = self.tasks[task_id]
        await asyncio.sleep(task.script.latency_seconds)
        if not task.is_ready:
            return
        body = json.dumps(_state(task_id, task)).encode()
        digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", "X-BFL-Signature": f"sha256={digest}"}
        times = 2 if task.script.situation is Situation.DUPLICATE_WEBHOOK else 1
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(30)) as session:
            for _ in range(times):
                async with session.post(url, data=body, headers=headers):
                    pass


def _state(task_id: str, task: Task | None) -> dict[str, Any]:
    state: dict[str, Any] = {"id": task_id, "result": None, "progress": None, "details": None}
    if task is None:
        return {**state, "status": "Task not found"}
    if not task.is_ready:
        return {**state, "status": "Pending", "progress": 0.5}
    if task.script.situation is Situation.MODERATION:
        return {**state, "status": "Content Moderated", "details": {"reasons": ["Safety"]}}
    return {**state, "status": "Ready", "result": task.result, "progress": 1.0}


def _inputs(model: str, body: dict[str, Any]) -> list[bytes]:
    try:
        return [decoded(body[name]) for name in PICTURES.get(model, FLUX_2) if body.get(name)]
    except NoPictureError:
        raise Refusal(_invalid("input_image", "Invalid base64", "value_error")) from None


def _checked(model: str, body: dict[str, Any]) -> tuple[int, int]:
    if model in {FILL, EXPAND}:
        if not body.get("image"):
            raise Refusal(_invalid("image", "Field required", "missing"))
    elif not isinstance(body.get("prompt"), str):
        raise Refusal(_invalid("prompt", "Field required", "missing"))
    if (body.get("output_format") or "jpeg") not in FORMATS:
        raise Refusal(_invalid("output_format", "Input should be jpeg, png or webp", "enum"))
    _check_numbers(model, body)
    if ratio := body.get("aspect_ratio"):
        return _sides(str(ratio))
    return body.get("width") or 1024, body.get("height") or 768


def _check_numbers(model: str, body: dict[str, Any]) -> None:
    is_second = model.startswith("flux-2")
    tolerance = {"safety_tolerance": (0, 5 if is_second else 6, 1)}
    for name, (least, most, step) in {**NUMBERS.get(model, SIDES_2), **tolerance}.items():
        if (value := body.get(name)) is None or (is_second and value == 0):
            continue
        is_number = type(value) in ({int} if step else {int, float})
        if not is_number or not least <= value <= most or (step and value % step):
            said = f"Input should be between {least} and {most}"
            raise Refusal(_invalid(name, said, "value_error"))


def _sides(ratio: str) -> tuple[int, int]:
    found = RATIO.fullmatch(ratio)
    share = int(found[1]) / int(found[2]) if found else 0.0
    if not 9 / 21 <= share <= 21 / 9:
        raise Refusal(_invalid("aspect_ratio", "between 21:9 and 9:21", "value_error"))
    return round(1024 * share**0.5), round(1024 / share**0.5)


def _invalid(field: str, message: str, kind: str) -> Response:
    detail = [{"loc": ["body", field], "msg": message, "type": kind}]
    return JSONResponse({"detail": detail}, 422)
