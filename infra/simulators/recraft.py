"""Recraft: `POST /v1/images/...`: new pictures as JSON, work on pictures as JSON or a form."""

import base64
import time
from dataclasses import dataclass
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from infra.simulators.inputs import Form, NoPictureError, decoded, read_form
from infra.simulators.scripts import Script, Situation
from infra.simulators.simulator import Simulator, with_rest

CREDITS = {"recraftv3": 40, "recraftv2": 22, "recraftv4_1": 35}
SIZES = (
    "1024x1024", "1365x1024", "1024x1365", "1536x1024", "1024x1536", "1820x1024", "1024x1820",
    "1024x2048", "2048x1024", "1434x1024", "1024x1434", "1024x1280", "1280x1024", "1024x1707",
    "1707x1024",
)  # fmt: skip
FORMATS = ("webp", "png")


@dataclass(frozen=True, slots=True)
class Method:
    """One endpoint."""

    needed: tuple[str, ...]
    is_list: bool = True
    credits: int = 0  # 0: as a new picture
    form: str = "webp"


METHODS = {
    "generations": Method(("prompt",)),
    "imageToImage": Method(("prompt", "strength", "image")),
    "inpaint": Method(("prompt", "image", "mask")),
    "generateBackground": Method(("prompt", "image", "mask")),
    "replaceBackground": Method(("prompt", "image")),
    "variateImage": Method(("size", "image")),
    "vectorize": Method(("image",), is_list=False, credits=10, form="svg"),
    "removeBackground": Method(("image",), is_list=False, credits=10, form="png"),
    "crispUpscale": Method(("image",), is_list=False, credits=4),
    "creativeUpscale": Method(("image",), is_list=False, credits=250),
    "clarityUpscale": Method(("image",), is_list=False, credits=4),
    "generativeUpscale": Method(("image",), is_list=False, credits=4),
}
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
        return [
            Route("/v1/images/{method}", self.image, methods=["POST"]),
            Route("/v1/users/me", self.account, methods=["GET"]),
        ]

    async def account(self, _request: Request) -> Response:
        """Whose token it is, and what is left."""
        told = {"id": "simulated", "email": "simulated@example.com", "name": "Simulated"}
        return JSONResponse({**told, "credits": 1000})

    def refusal(self, situation: Situation, script: Script) -> Response:
        if situation is Situation.AUTH:
            return PlainTextResponse("request unauthorized", 401)
        status, code, message = REFUSALS[situation]
        response = JSONResponse({"code": code, "message": message}, status)
        return with_rest(response, situation, script)

    async def image(self, request: Request) -> Response:
        """All endpoints alike; they differ in what must be there and in what they cost."""
        known = METHODS.get(request.path_params["method"])
        if known is None:
            return PlainTextResponse("404 page not found", 404)
        form = await read_form(request)
        inputs = _pictures(form)
        if inputs is None:
            return self.refusal(Situation.BAD_REQUEST, Script())
        prompt = form.text("prompt")
        script = await self.begin(
            request, prompt, form.told(), refuses=REFUSES, inputs=list(inputs.values())
        )
        model = form.text("model", "recraftv4_1")
        is_complete = all(form.text(each) or each in inputs for each in known.needed)
        size, kind = form.text("size", SIZES[0]), form.text("response_format", "url")
        is_known = (
            model in CREDITS
            and size in SIZES
            and kind in {"url", "b64_json"}
            and form.text("image_format", FORMATS[0]) in FORMATS
            and _is_share(form.text("strength", "0"))
        )
        if not is_complete or not is_known:
            return self.refusal(Situation.BAD_REQUEST, script)
        width, height = map(int, size.split("x"))
        await self.wait(script)
        count = form.number("n", 1) if known.is_list else 1
        made = []
        for number in range(count):
            drawn = known.form if known.form == "svg" else form.text("image_format", known.form)
            content = self.picture(script, width, height, drawn, prompt, number)
            where = (
                {"url": self.publish(request, script, content, drawn)}
                if kind == "url"
                else {"b64_json": base64.b64encode(content).decode()}
            )
            made.append({"image_id": str(uuid4()), **where})
        told = {"created": int(time.time()), "credits": (known.credits or CREDITS[model]) * count}
        return JSONResponse({**told, **({"data": made} if known.is_list else {"image": made[0]})})


def _pictures(form: Form) -> dict[str, bytes] | None:
    """By name, as files or as data URLs; None if one of these is none."""
    found = {name: files[0] for name, files in form.files.items()}
    for name in ("image", "mask"):
        if url := form.text(f"{name}_url"):
            try:
                found[name] = decoded(url, is_data_url=True)
            except NoPictureError:
                return None
    return found


def _is_share(text: str) -> bool:
    try:
        return 0 <= float(text) <= 1
    except ValueError:
        return False
