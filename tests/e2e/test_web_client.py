"""The web client's own requests, field by field, and the fields that it reads from the answers."""

import base64
import io
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from PIL import Image

from tests.e2e.system import System, until
from tools.api_client import ApiClient

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


FILE = {
    *("id", "fileName", "fileUrl", "fileSize", "mimeType", "prompt", "model", "isPublic"),
    *("createdAt", "updatedAt", "isLiked", "aspectRatio", "jobId", "jobType"),
}
PUBLIC = {
    *("id", "fileUrl", "prompt", "model", "aspectRatio", "mimeType", "createdAt", "likeCount"),
    *("isLiked", "owner"),
}
CREATOR = {
    *("userId", "username", "profileImage", "country", "totalLikes", "imageCount", "bestImage"),
}
FILES = "/api/r2files"


async def made(person: ApiClient, count: int) -> list[Json]:
    """Pictures of a person's, as their list shows them."""
    for number in range(count):
        order = {"prompt": f"heron {number}", "model": "local-sketch"}
        await person.call("POST", "/api/image/local", json=order)
    items: list[Json] = (await person.call("GET", FILES))["items"]
    assert len(items) == count
    return items


async def status_of(url: str) -> tuple[int, dict[str, str]]:
    """How an address answers to a browser's image, which shows no log-in."""
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        await answer.read()
        return answer.status, dict(answer.headers)


async def test_the_gallery_is_listed_changed_and_emptied(system: System) -> None:
    async with system.person() as ada, system.person() as bob:
        items = await made(ada, 3)
        assert all(set(item) >= FILE for item in items)
        assert [item["createdAt"] for item in items] == sorted(
            (item["createdAt"] for item in items), reverse=True
        )
        first = await ada.call("GET", f"{FILES}?limit=2&type=image")
        rest = await ada.call("GET", f"{FILES}?limit=2&cursor={first['nextCursor']}")
        assert first["items"] + rest["items"] == items
        assert rest["nextCursor"] is None
        one, two, three = items
        url = f"{FILES}/{one['id']}"
        for method, path, body in (
            ("PATCH", url, {"isPublic": True}),
            ("DELETE", url, None),
            ("POST", f"{url}/toggle-like", None),
            ("PATCH", f"{FILES}/by-url", {"fileUrl": one["fileUrl"], "isPublic": True}),
            ("DELETE", f"{FILES}/by-url", {"fileUrl": one["fileUrl"]}),
        ):
            status, refused = await bob.answer(method, path, json=body)
            assert (status, refused["code"]) == (404, "item_not_found"), (method, path)
            assert refused["error"] == refused["message"]
        assert (await ada.call("GET", FILES))["items"] == items
        liked = {"isLiked": True, "model": "mine"}
        changed = await ada.call("PATCH", url, json=liked)
        assert changed | liked == changed
        body = {"fileUrl": two["fileUrl"], "isPublic": True}
        assert (await ada.call("PATCH", f"{FILES}/by-url", json=body))["isPublic"] is True
        await ada.call("DELETE", url)
        assert (await ada.answer("DELETE", url))[0] == 404
        await ada.call("DELETE", f"{FILES}/by-url", json={"fileUrl": three["fileUrl"]})
        assert [item["id"] for item in (await ada.call("GET", FILES))["items"]] == [two["id"]]
        assert (await status_of(one["fileUrl"]))[0] == 404
        status, headers = await status_of(two["fileUrl"])
        assert (status, headers["Access-Control-Allow-Origin"]) == (200, "*")


async def test_what_is_public_is_shown_to_everybody_and_liked(system: System) -> None:
    url = system.status()["gateway_url"]
    async with system.person() as ada, system.person() as bob, ApiClient(url) as nobody:
        (item,) = await made(ada, 1)
        plain = item["fileUrl"].partition("?")[0]
        assert (await status_of(plain))[0] == 404
        for caller in (nobody, bob):
            assert (await caller.answer("GET", f"{FILES}/public/{item['id']}"))[0] == 404
        await ada.call("PATCH", f"{FILES}/{item['id']}", json={"isPublic": True})
        shown = await nobody.call("GET", f"{FILES}/public/{item['id']}")
        assert set(shown) >= PUBLIC
        assert set(shown["owner"]) >= {"username", "authUserId", "profileImage", "country"}
        assert (shown["fileUrl"], shown["likeCount"], shown["isLiked"]) == (plain, 0, False)
        status, headers = await status_of(plain)
        assert (status, headers["Cache-Control"]) == (200, "public, max-age=31536000, immutable")

        liked = await bob.call("POST", f"{FILES}/{item['id']}/toggle-like")
        assert liked == {"likeCount": 1, "isLiked": True}
        owner = shown["owner"]["authUserId"]
        feeds = ("public?limit=20", f"public/user/{owner}?limit=30")
        for caller, is_liked in ((nobody, False), (bob, True)):
            for path in feeds:
                feed = await caller.call("GET", f"{FILES}/{path}")
                found = next(each for each in feed["items"] if each["id"] == item["id"])
                assert (found["likeCount"], found["isLiked"]) == (1, is_liked)
                assert feed["totalCount"] >= 1
        creators = (await nobody.call("GET", f"{FILES}/public/top-creators?limit=50"))["creators"]
        best = next(each for each in creators if each["userId"] == owner)
        assert set(best) >= CREATOR
        assert (best["totalLikes"], best["imageCount"], best["bestImage"]) == (1, 1, plain)
        await bob.call("POST", f"{FILES}/{item['id']}/toggle-like")
        await ada.call("PATCH", f"{FILES}/{item['id']}", json={"isPublic": False})
        assert (await status_of(plain))[0] == 404
        assert (await nobody.answer("GET", f"{FILES}/public/{item['id']}"))[0] == 404


async def test_uploads_go_every_way_that_the_client_knows(system: System) -> None:
    content = base64.b64decode(reference().partition(",")[2])
    text = base64.b64encode(content).decode()
    async with system.person() as ada, aiohttp.ClientSession() as browser:
        asked = {"fileName": "a.png", "contentType": "image/png", "folder": "uploads"}
        given = await ada.call("POST", "/api/upload/presigned", json=asked)
        assert set(given) >= {"success", "uploadUrl", "publicUrl", "fileName", "contentType"}
        headers = {"Content-Type": "image/png"}
        async with browser.put(given["uploadUrl"], data=content, headers=headers) as put:
            assert put.status == 200
        sent = {"base64Data": text, "mimeType": "image/png", "prompt": "dusk", "model": "mine"}
        plain = await ada.call("POST", "/api/upload/base64", json=sent)
        assert set(plain) >= {"success", "url", "mimeType"}
        form = aiohttp.FormData()
        form.add_field("file", content, filename="me.png", content_type="image/png")
        face = await ada.call("POST", "/api/upload/profile-picture/upload", data=form)
        assert "?" not in face["publicUrl"]  # shown to everybody
        batch = {
            "images": [
                {"base64Data": f"data:image/png;base64,{text}", "originalUrl": "idb:1"},
                {"base64Data": "data:text/html;base64,PGI+", "originalUrl": "idb:2"},
            ]
        }
        moved = await ada.call("POST", "/api/upload/migrate-base64-batch", json=batch)
        assert [each["originalUrl"] for each in moved["results"]] == ["idb:1"]
        assert [each["index"] for each in moved["errors"]] == [1]
        new_url = moved["results"][0]["newUrl"]
        for url in (given["publicUrl"], plain["url"], face["publicUrl"], new_url):
            assert (await ada.download(url))[1] == content
        assert len((await ada.call("GET", FILES))["items"]) == 3
        proxied = f"{FILES}/proxy?{urlencode({'url': plain['url']})}"
        assert await ada.read(proxied) == content
        own = await ada.call("POST", "/api/upload/proxy-image", json={"url": plain["url"]})
        assert own == {"success": True, "dataUrl": f"data:image/png;base64,{text}"}
        for hostile in (
            "http://169.254.169.254/latest/meta-data",
            "http://[::ffff:10.0.0.1]/a.png",
        ):
            status, _ = await ada.answer("GET", f"{FILES}/proxy?{urlencode({'url': hostile})}")
            assert status == 403
            body = {"url": hostile}
            assert (await ada.answer("POST", "/api/upload/proxy-image", json=body))[0] == 400
