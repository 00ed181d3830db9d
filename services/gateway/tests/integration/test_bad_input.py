"""What is missing or no picture, on every route that takes pictures: refused before any charge."""

import base64
from typing import Any

from services.gateway.tests.integration.conftest import Person, RunningGateway
from services.gateway.tests.integration.test_inputs import NOT_PICTURES, bomb, data_url, picture

Json = dict[str, Any]

# Route, what is sent with it, the field that a picture stands in, the status of what is wrong.
IN_JSON: tuple[tuple[str, Json, str, int], ...] = (
    ("/api/jobs", {"provider": "flux", "model": "flux-kontext-pro"}, "input_image", 400),
    ("/api/unified-generate", {"model": "gemini-2.5-flash-image"}, "references", 400),
    ("/api/image/gemini", {}, "imageBase64", 422),  # whose client would repeat a 400
    ("/api/image/reve", {}, "references", 400),
    ("/api/image/luma", {}, "image_ref", 400),
    ("/api/flux/generate", {"model": "flux-pro-1.1-ultra"}, "image_prompt", 400),
    ("/api/video/runway", {"model": "gen4_turbo"}, "input_image", 400),
    ("/v1/images/edits", {"model": "gpt-image-2"}, "image", 400),
)
# Route, its other fields, its files.
IN_FORMS: tuple[tuple[str, dict[str, str], tuple[str, ...]], ...] = (
    ("/api/ideogram/edit", {"prompt": "a hat"}, ("image", "mask")),
    ("/api/ideogram/reframe", {"resolution": "512x1536"}, ("image",)),
    ("/api/ideogram/replace-background", {"prompt": "a forest"}, ("image",)),
    ("/api/ideogram/upscale", {}, ("image",)),
    ("/api/ideogram/describe", {}, ("image",)),
    ("/api/qwen/image-edit", {"prompt": "night"}, ("image",)),
    ("/api/image/recraft/variate", {"size": "1024x1024"}, ("file",)),
    ("/api/video/luma", {"prompt": "it flies", "model": "luma-ray-2"}, ("image", "last_frame")),
    ("/v1/images/edits", {"prompt": "a hat", "model": "gpt-image-2"}, ("image", "mask")),
)
BAD_FILES = {
    "nothing": b"",
    "text": b"certainly not",
    "wrong type": picture(form="GIF"),
    "cut off": picture(side=64)[:-20],
    "bomb": bomb(),
}
INSIDE = ("http://169.254.169.254/latest/meta-data", "http://127.0.0.1:1/x.png", "http://[::1]/x")


async def unchanged(gateway: RunningGateway, person: Person) -> None:
    """Nothing was kept, held or charged."""
    for table in ("job", "hold", "idempotency"):
        assert await gateway.value(f"SELECT count(*) FROM {table}") == 0, table
    assert await person.credits() == 20


def is_typed(answer: Any, status: int, route: str) -> str:
    """The sentence of a refusal, in the words of its route."""
    assert answer.status_code == status, (route, answer.status_code, answer.text)
    told = answer.json()
    if route.startswith("/v1/"):
        assert told["error"]["code"]
        return str(told["error"]["message"])
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert told["type"]
    assert told["error"] == told["message"]
    return str(told["message"])


async def test_what_is_no_picture_in_json(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    for route, body, field, status in IN_JSON:
        for name, content in [*NOT_PICTURES.items(), *((url, url) for url in INSIDE)]:
            sent = {"prompt": "a fox", **body, field: content}
            said = is_typed(await ada.post(route, sent), status, route)
            assert said.startswith(f"{field} is not an image we take: "), (route, name, said)
            leads_inside = said.endswith("it does not lead to the public internet")
            assert leads_inside is (name in INSIDE), (route, name, said)
    await unchanged(gateway, ada)


async def test_what_is_no_picture_in_a_form(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    good = picture()
    for route, fields, files in IN_FORMS:
        for wrong in files:
            for name, content in BAD_FILES.items():
                sent = {
                    each: (f"{each}.png", content if each == wrong else good, "image/png")
                    for each in files
                }
                said = is_typed(await ada.send(route, sent, fields), 400, route)
                assert said.startswith(f"{wrong} is not an image we take: "), (route, name, said)
    await unchanged(gateway, ada)


async def test_what_is_missing(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    for route, body, _, status in IN_JSON:
        for prompt in ({}, {"prompt": " "}, {"prompt": None}):
            said = is_typed(await ada.post(route, {**body, **prompt}), status, route)
            assert said == "Prompt is required", route
        is_typed(await ada.post(route, {**body, "prompt": 7}), status, route)
    for route, fields, files in IN_FORMS:
        for missing in files:
            if missing == "last_frame" or (route, missing) == ("/v1/images/edits", "mask"):
                continue  # as one likes
            sent = {each: ("x.png", picture()) for each in files if each != missing}
            if route != "/api/video/luma":
                said = is_typed(
                    await ada.send(route, sent or {"x": (None, "")}, fields), 400, route
                )
                assert "file" in said, (route, said)
        if "prompt" in fields:
            rest = {name: text for name, text in fields.items() if name != "prompt"}
            sent = {each: ("x.png", picture()) for each in files}
            said = is_typed(await ada.send(route, sent, rest), 400, route)
            assert said in {"Prompt is required", "Missing prompt"}, route
    await unchanged(gateway, ada)


async def test_a_client_that_gives_up_sooner_is_believed(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    patient, hasty = await ada.start_job(), await ada.start_job(deadlineSeconds=30)
    for job_id, seconds in ((patient, 600), (hasty, 30)):
        facts = await gateway.facts(job_id)
        assert (facts.deadline_at - facts.requested_at).total_seconds() == seconds
        assert "deadlineSeconds" not in facts.options
    answer = await ada.post("/api/jobs", {"provider": "local", "prompt": "x", "deadlineSeconds": 0})
    assert is_typed(answer, 400, "/api/jobs")


def test_the_bodies_that_are_bad_are_what_they_say() -> None:
    assert base64.b64decode(data_url(bomb()).partition(",")[2]) == bomb()
    assert len(bomb()) < 1_000
