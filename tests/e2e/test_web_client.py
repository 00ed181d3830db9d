"""The web client's own requests, field by field, and the fields that it reads from the answers."""

import base64
import io
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from PIL import Image

from tests.e2e.system import System, until

Json = dict[str, Any]


def reference() -> str:
    content = io.BytesIO()
    Image.effect_noise((256, 256), 90).convert("RGB").save(content, "PNG")
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"


# Provider, model, what stands beside the prompt, and the fields that the hook reads, in its order.
ROWS: tuple[tuple[str, str, Json, tuple[str, ...]], ...] = (
    (
        "gemini",
        "gemini-2.5-flash-image",
        {
            "imageBase64": reference(),
            "mimeType": "image/png",
            "references": [reference()],
            "temperature": 1,
            "outputLength": 8192,
            "topP": 1,
            "providerOptions": {"aspectRatio": "1:1"},
            "config": {"imageConfig": {"aspectRatio": "1:1"}},
        },
        ("imageBase64", "mimeType"),
    ),
    (
        "flux",
        "flux-pro-1.1",
        {"providerOptions": {"width": 1024, "height": 1024, "output_format": "jpeg"}},
        ("dataUrl", "jobId", "status"),
    ),
    (
        "flux",
        "flux-kontext-pro",
        {
            "providerOptions": {
                "input_image": reference(),
                "input_image_2": reference(),
                "aspect_ratio": "1:1",
                "safety_tolerance": 2,
                "prompt_upsampling": False,
            }
        },
        ("dataUrl", "dataUrls"),
    ),
    (
        "chatgpt",
        "chatgpt-image",
        {"n": 1, "size": "1024x1024", "quality": "high", "background": "transparent"},
        ("dataUrls",),
    ),
    (
        "ideogram",
        "ideogram",
        {
            "providerOptions": {
                "aspect_ratio": "1:1",
                "rendering_speed": "DEFAULT",
                "num_images": 1,
                "style_type": "AUTO",
            }
        },
        ("dataUrls",),
    ),
    (
        "qwen",
        "qwen-image",
        {"providerOptions": {"size": "1328*1328", "prompt_extend": True, "watermark": False}},
        ("dataUrl",),
    ),
    (
        "runway",
        "runway-gen4",
        {"references": [], "providerOptions": {"ratio": "1920:1080"}},
        ("dataUrl",),
    ),
    (
        "reve",
        "reve-image-1.0",
        {"references": [reference()], "providerOptions": {"width": 1024, "height": 1024}},
        ("images", "dataUrl", "jobId", "status"),
    ),
    (
        "recraft",
        "recraft-v3",
        {
            "providerOptions": {
                "style": "realistic_image",
                "size": "1024x1024",
                "n": 1,
                "response_format": "url",
            }
        },
        ("dataUrls",),
    ),
    (
        "seedream",
        "seedream-3.0",
        {"providerOptions": {"width": 1024, "height": 1024, "n": 1}},
        ("images",),
    ),
    (
        "luma",
        "luma-photon-1",
        {"providerOptions": {"aspect_ratio": "16:9"}},
        ("dataUrl", "dataUrls", "contentType", "mimeType", "status"),
    ),
)


async def test_each_providers_request_is_answered_as_its_hook_reads(system: System) -> None:
    url = system.status()["gateway_url"]
    async with system.person() as first, system.person() as second:
        for number, (provider, model, fields, read) in enumerate(ROWS):
            person = first if number % 2 else second
            body = {"prompt": f"a heron by {model}", "model": model, **fields}
            answer = await person.call("POST", f"/api/image/{provider}", json=body)
            for name in read:
                value = answer[name][0] if isinstance(answer[name], list) else answer[name]
                assert value, (model, name)
            if "imageBase64" in read:
                content = base64.b64decode(answer["imageBase64"])
            else:
                shown = (answer["dataUrls"] or [answer["dataUrl"]])[0]
                assert shown.startswith(url)
                _, content = await person.download(shown)
            assert Image.open(io.BytesIO(content)).width > 1
            # The gallery lists it by then, and a client that polls is done at its first question.
            job = await person.call("GET", f"/api/jobs/{answer['jobId']}")
            assert (job["status"], job["resultUrl"]) == ("COMPLETED", answer["dataUrl"])
            newest = (await person.call("GET", "/api/r2files"))["items"][0]
            assert (newest["fileUrl"], newest["model"]) == (job["resultUrl"], model)


async def test_the_first_client_has_one_route_and_its_options_beside_the_prompt(
    system: System,
) -> None:
    async with system.person() as person:
        for _, model, fields, read in (ROWS[0], ROWS[4], ROWS[5]):
            options = fields.get("providerOptions", {})
            body = {"prompt": "a heron", "model": model, **options}
            answer = await person.call("POST", "/api/unified-generate", json=body)
            assert all(answer[name] for name in read), model


def form(*files: str, **fields: str) -> aiohttp.FormData:
    made = aiohttp.FormData(fields)
    for name in files:
        content = base64.b64decode(reference().partition(",")[2])
        made.add_field(name, content, filename=f"{name}.png", content_type="image/png")
    return made


FORMS: tuple[tuple[str, tuple[str, ...], dict[str, str], str], ...] = (
    ("ideogram/edit", ("image", "mask"), {"prompt": "a hat", "num_images": "1"}, "dataUrls"),
    ("ideogram/reframe", ("image",), {"resolution": "512x1536"}, "dataUrls"),
    ("ideogram/replace-background", ("image",), {"prompt": "a forest"}, "dataUrls"),
    ("ideogram/upscale", ("image",), {"resemblance": "60", "detail": "90"}, "dataUrls"),
    ("ideogram/describe", ("image",), {"model_version": "V_3"}, "descriptions"),
    ("qwen/image-edit", ("image",), {"prompt": "night", "watermark": "false"}, "dataUrl"),
    ("image/recraft/variate", ("file",), {"size": "1024x1024"}, "items"),
)


async def test_work_on_files_is_done_by_the_providers(system: System) -> None:
    async with system.person() as person:
        for path, files, fields, read in FORMS:
            answer = await person.call("POST", f"/api/{path}", data=form(*files, **fields))
            assert answer[read], path
        charged = 10 - (await person.call("GET", "/api/credits/balance"))["available"]
        assert charged == 8  # an enlargement costs two
        assert len((await person.call("GET", "/api/r2files"))["items"]) == 6  # a text is no picture


async def test_a_first_flux_client_gets_its_picture(system: System) -> None:
    async with system.person() as person:
        body = {"prompt": "a heron", "model": "flux-pro-1.1", "useWebhook": False}
        queued = await person.call("POST", "/api/flux/generate", json=body)
        query = urlencode({"pollingUrl": queued["pollingUrl"]})

        async def is_ready() -> bool:
            told = await person.call("GET", f"/api/flux/result?{query}")
            assert told["status"] in {"Queued", "Processing", "Ready"}
            return bool(told["status"] == "Ready")

        await until(is_ready, seconds=90)
        told = await person.call("GET", f"/api/flux/result?{query}")
        query = urlencode({"url": told["result"]["sample"]})
        loaded = await person.call("GET", f"/api/flux/download?{query}")
        kind, _, text = loaded["dataUrl"].partition(";base64,")
        assert kind == f"data:{loaded['contentType']}" == "data:image/jpeg"
        assert Image.open(io.BytesIO(base64.b64decode(text))).width > 1


@pytest.mark.parametrize(("provider", "model"), [("runway", "gen4_turbo"), ("luma", "luma-ray-2")])
async def test_a_film_is_made_from_a_picture(system: System, provider: str, model: str) -> None:
    async with system.person() as person:
        body = {"prompt": "the heron flies", "model": model, "input_image": reference()}
        status, answer = await person.answer("POST", f"/api/video/{provider}", json=body)
        assert status == 202, answer

        async def is_done() -> bool:
            job = await person.call("GET", f"/api/jobs/{answer['jobId']}")
            assert job["status"] in {"PENDING", "PROCESSING", "COMPLETED"}, job["error"]
            return bool(job["status"] == "COMPLETED")

        await until(is_done, seconds=90)
