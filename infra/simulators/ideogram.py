"""Ideogram: five endpoints below `/v1/ideogram-v3/`, and the older `/upscale` and `/describe`."""

import json
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from infra.simulators.inputs import Form, read_form
from infra.simulators.scripts import Script, Situation
from infra.simulators.simulator import Refusal, Simulator, answer, with_rest

RATIOS = {
    "1x1": (1024, 1024), "1x3": (512, 1536), "3x1": (1536, 512), "1x2": (704, 1408),
    "2x1": (1408, 704), "9x16": (736, 1312), "16x9": (1312, 736), "10x16": (800, 1280),
    "16x10": (1280, 800), "2x3": (832, 1248), "3x2": (1248, 832), "3x4": (864, 1152),
    "4x3": (1152, 864), "4x5": (896, 1120), "5x4": (1120, 896),
}  # fmt: skip
# Width -> the heights that it goes with.
RESOLUTIONS = {
    512: (1536,), 576: (1408, 1472, 1536), 640: (1344, 1408, 1472, 1536),
    704: (1152, 1216, 1280, 1344, 1408, 1472), 736: (1312,), 768: (1088, 1216, 1280, 1344),
    800: (1280,), 832: (960, 1024, 1088, 1152, 1216, 1248), 864: (1152,),
    896: (960, 1024, 1088, 1120, 1152), 960: (832, 896, 1024, 1088),
    1024: (832, 896, 960, 1024), 1088: (768, 832, 896, 960), 1120: (896,),
    1152: (704, 832, 864, 896), 1216: (704, 768, 832), 1248: (832,), 1280: (704, 768, 800),
    1312: (736,), 1344: (640, 704, 768), 1408: (576, 640, 704), 1472: (576, 640, 704),
    1536: (512, 576, 640),
}  # fmt: skip
WORDS = {
    "rendering_speed": {"FLASH", "TURBO", "BALANCED", "DEFAULT", "QUALITY"},
    "magic_prompt": {"AUTO", "ON", "OFF"},
    "style_type": {"AUTO", "GENERAL", "REALISTIC", "DESIGN", "CUSTOM", "FICTION", "STYLIZED"},
    "describe_model_version": {"V_2", "V_3", "CUSTOM"},
}
NUMBERS = {
    "num_images": (1, 8), "seed": (0, 2_147_483_647), "image_weight": (1, 100),
    "resemblance": (1, 100), "detail": (1, 100),
}  # fmt: skip
NEEDED = {
    "generate": ("prompt",),
    "edit": ("image", "mask", "prompt"),
    "remix": ("image", "prompt"),
    "reframe": ("image", "resolution"),
    "replace-background": ("image", "prompt"),
}
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
        paths = {
            "/v1/ideogram-v3/{method}": self.v3,
            "/upscale": self.upscale,
            "/describe": self.describe,
        }
        return [Route(path, method, methods=["POST"]) for path, method in paths.items()]

    def is_authorised(self, request: Request) -> bool:
        return request.headers.get("api-key", "") not in {"", "wrong"}

    def refusal(self, situation: Situation, script: Script) -> Response:
        status, body = REFUSALS[situation]
        return with_rest(JSONResponse(body, status), situation, script)

    async def v3(self, request: Request) -> Response:
        """Five endpoints that differ in what must be there."""
        needed = NEEDED.get(request.path_params["method"])
        if needed is None:
            return JSONResponse({"error": "Not found"}, 404)
        form = await read_form(request)
        script = await self._begin(request, form, form.text("prompt"))
        missing = [each for each in needed if not (form.text(each) or form.files.get(each))]
        if missing:
            return JSONResponse({"error": f"{missing[0]} is required"}, 400)
        _check(form)
        width, height = _size(form)
        return await self._answer(request, script, form, width, height)

    async def upscale(self, request: Request) -> Response:
        form = await read_form(request)
        asked = json.loads(form.text("image_request", "null"))
        if not isinstance(asked, dict):
            return JSONResponse({"error": "image_request is required"}, 400)
        inside = Form(asked, form.files)
        script = await self._begin(request, inside, inside.text("prompt"))
        if not form.files.get("image_file"):
            return JSONResponse({"error": "image_file is required"}, 400)
        _check(inside)
        return await self._answer(request, script, inside, 2048, 2048)

    async def describe(self, request: Request) -> Response:
        form = await read_form(request)
        script = await self._begin(request, form, "")
        if not form.files.get("image_file"):
            return JSONResponse({"error": "image_file is required"}, 400)
        _check(form)
        if script.situation is Situation.MODERATION:
            return JSONResponse({"error": "Image failed the safety check"}, 422)
        await self.wait(script)
        is_blank = script.situation is Situation.WRONG_TYPE
        text = "A simulated description: a heron beside still water."
        return answer(script, {"descriptions": [] if is_blank else [{"text": text}]})

    async def _begin(self, request: Request, form: Form, prompt: str) -> Script:
        return await self.begin(
            request, prompt, form.told(), refuses=REFUSES, inputs=form.pictures()
        )

    async def _answer(
        self, request: Request, script: Script, form: Form, width: int, height: int
    ) -> Response:
        prompt = form.text("prompt")
        await self.wait(script)
        is_safe = script.situation is not Situation.MODERATION
        data = []
        for number in range(form.number("num_images", 1)):
            content = self.picture(script, width, height, "png", prompt, number)
            url = self.publish(request, script, content, "png") if is_safe else None
            data.append(
                {
                    "url": url,
                    "prompt": prompt,
                    "resolution": f"{width}x{height}",
                    "is_image_safe": is_safe,
                    "seed": form.number("seed", 12345) + number,
                    "style_type": form.text("style_type", "GENERAL"),
                }
            )
        return JSONResponse({"created": datetime.now(UTC).isoformat(), "data": data})


def _check(form: Form) -> None:
    for name, known in WORDS.items():
        if form.text(name, next(iter(known))) not in known:
            raise _invalid(name)
    for name, (least, most) in NUMBERS.items():
        text = form.text(name, str(least))
        if not text.isdecimal() or not least <= int(text) <= most:
            raise _invalid(name)
    if form.text("style_codes") and (
        form.text("style_type") or form.files.get("style_reference_images")
    ):
        raise _invalid("style_codes")


def _size(form: Form) -> tuple[int, int]:
    resolution, ratio = form.text("resolution"), form.text("aspect_ratio")
    if not resolution:
        if (ratio or "1x1") not in RATIOS:
            raise _invalid("aspect_ratio")
        return RATIOS[ratio or "1x1"]
    width, _, height = resolution.partition("x")
    known = {f"{across}x{down}" for across, heights in RESOLUTIONS.items() for down in heights}
    if ratio or resolution not in known:
        raise _invalid("resolution")
    return int(width), int(height)


def _invalid(name: str) -> Refusal:
    return Refusal(JSONResponse({"error": f"Invalid value for {name}"}, 400))
