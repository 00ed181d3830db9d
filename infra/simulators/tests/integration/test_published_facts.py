"""Ideogram and Recraft, that have no client of their own, against what their API files say."""

import io
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import aiohttp
import pytest

from infra.simulators.scripts import Situation
from infra.simulators.tests.integration.simulated import PICTURE, Simulated, fetched, size_of

RATIOS = "1x3 3x1 1x2 2x1 9x16 16x9 10x16 16x10 2x3 3x2 3x4 4x3 4x5 5x4 1x1"
RESOLUTIONS = (
    "512x1536 576x1408 576x1472 576x1536 640x1344 640x1408 640x1472 640x1536 704x1152 704x1216"
    " 704x1280 704x1344 704x1408 704x1472 736x1312 768x1088 768x1216 768x1280 768x1344 800x1280"
    " 832x960 832x1024 832x1088 832x1152 832x1216 832x1248 864x1152 896x960 896x1024 896x1088"
    " 896x1120 896x1152 960x832 960x896 960x1024 960x1088 1024x832 1024x896 1024x960 1024x1024"
    " 1088x768 1088x832 1088x896 1088x960 1120x896 1152x704 1152x832 1152x864 1152x896 1216x704"
    " 1216x768 1216x832 1248x832 1280x704 1280x768 1280x800 1312x736 1344x640 1344x704 1344x768"
    " 1408x576 1408x640 1408x704 1472x576 1472x640 1472x704 1536x512 1536x576 1536x640"
)
PICTURES = frozenset({"image", "mask", "image_file"})


class Client:
    """Speaks to one simulator in forms and JSON."""

    def __init__(self, simulated: Simulated, name: str, headers: dict[str, str]) -> None:
        self.simulated = simulated
        self.name = name
        self._session = aiohttp.ClientSession(headers=headers)

    async def close(self) -> None:
        await self._session.close()

    async def form(self, path: str, fields: dict[str, str]) -> tuple[int, Any]:
        """Where a field is one of pictures, a picture is sent as a file."""
        form = aiohttp.FormData(default_to_multipart=True)
        for name, value in fields.items():
            if name in PICTURES:
                form.add_field(name, io.BytesIO(PICTURE), filename="a.png")
            elif value.startswith("{"):
                form.add_field(name, value, content_type="application/json")
            else:
                form.add_field(name, value)
        return await self._answer("POST", path, data=form)

    async def json(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        return await self._answer("POST", path, json=body)

    async def get(self, path: str) -> tuple[int, Any]:
        return await self._answer("GET", path)

    async def _answer(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        url = f"{self.simulated.url}/{self.name}{path}"
        async with self._session.request(method, url, **more) as response:
            is_json = response.content_type == "application/json"
            return response.status, await response.json() if is_json else await response.text()


@pytest.fixture
async def ideogram(simulated: Simulated) -> AsyncIterator[Client]:
    client = Client(simulated, "ideogram", {"Api-Key": "any"})
    yield client
    await client.close()


@pytest.fixture
async def recraft(simulated: Simulated) -> AsyncIterator[Client]:
    client = Client(simulated, "recraft", {"Authorization": "Bearer any"})
    yield client
    await client.close()


IDEOGRAM = {
    "/v1/ideogram-v3/generate": {"prompt": "a heron"},
    "/v1/ideogram-v3/edit": {"image": "", "mask": "", "prompt": "a boat"},
    "/v1/ideogram-v3/remix": {"image": "", "prompt": "at night", "image_weight": "80"},
    "/v1/ideogram-v3/reframe": {"image": "", "resolution": "1536x640"},
    "/v1/ideogram-v3/replace-background": {"image": "", "prompt": "a lake"},
    "/upscale": {"image_file": "", "image_request": '{"resemblance": 60, "detail": 40}'},
}
OPTIONAL = frozenset({"image_weight"})


@pytest.mark.parametrize("path", IDEOGRAM)
async def test_ideogram_answers_pictures_as_its_file_says(ideogram: Client, path: str) -> None:
    more = {} if path == "/upscale" else {"num_images": "2", "seed": "7"}
    status, told = await ideogram.form(path, {**IDEOGRAM[path], **more})
    assert status == 200, told
    assert set(told) == {"created", "data"}
    assert datetime.fromisoformat(told["created"]).tzinfo is not None
    assert len(told["data"]) == (2 if more else 1)
    for each in told["data"]:
        assert {"url", "prompt", "resolution", "is_image_safe", "seed"} <= set(each)
        width, height = size_of(await fetched(each["url"]))
        assert each["resolution"] == f"{width}x{height}"


@pytest.mark.parametrize(
    ("path", "field"),
    [(path, field) for path in IDEOGRAM for field in sorted({*IDEOGRAM[path]} - OPTIONAL)],
)
async def test_ideogram_wants_what_its_file_requires(
    ideogram: Client, path: str, field: str
) -> None:
    fields = {name: value for name, value in IDEOGRAM[path].items() if name != field}
    status, told = await ideogram.form(path, {**fields, "other": "x"})
    assert (status, list(told)) == (400, ["error"])


async def test_ideogram_describes(ideogram: Client) -> None:
    for version in ("V_2", "V_3", "CUSTOM"):
        fields = {"image_file": "", "describe_model_version": version}
        status, told = await ideogram.form("/describe", fields)
        assert (status, list(told)) == (200, ["descriptions"])
        assert told["descriptions"][0]["text"]


async def test_ideogram_takes_every_size_that_it_lists(ideogram: Client) -> None:
    assert (len(RATIOS.split()), len(RESOLUTIONS.split())) == (15, 69)
    path = "/v1/ideogram-v3/generate"
    for name, values in (("aspect_ratio", RATIOS), ("resolution", RESOLUTIONS)):
        for value in values.split():
            status, told = await ideogram.json(path, {"prompt": "x", name: value})
            assert status == 200, (value, told)


@pytest.mark.parametrize(
    "wrong",
    [
        {"aspect_ratio": "16:9"},
        {"resolution": "1000x1000"},
        {"resolution": "1024x1024", "aspect_ratio": "1x1"},
        {"rendering_speed": "FASTER"},
        {"magic_prompt": "MAYBE"},
        {"style_type": "ANIME"},
        {"style_type": "GENERAL", "style_codes": "0123abcd"},
        {"num_images": 9},
        {"seed": -1},
        {"seed": 2_147_483_648},
    ],
)
async def test_ideogram_refuses_values_that_it_does_not_list(
    ideogram: Client, wrong: dict[str, Any]
) -> None:
    body = {"prompt": "a heron", **wrong}
    assert (await ideogram.json("/v1/ideogram-v3/generate", body))[0] == 400


@pytest.mark.parametrize(
    ("situation", "status", "reason"),
    [
        (Situation.BAD_REQUEST, 400, None),
        (Situation.AUTH, 401, None),
        (Situation.CREDIT, 402, "insufficient_funds"),
        (Situation.RATE_LIMIT, 429, "inflight_limit"),
        (Situation.SERVER, 503, None),
    ],
)
async def test_ideograms_errors(
    ideogram: Client, situation: Situation, status: int, reason: str | None
) -> None:
    ideogram.simulated.tell("ideogram", situation)
    answered, told = await ideogram.json("/v1/ideogram-v3/generate", {"prompt": "a heron"})
    assert (answered, told.get("reject_reason")) == (status, reason)
    assert isinstance(told["error"], str)


async def test_what_ideogram_finds_unsafe_has_no_url_in_a_200(ideogram: Client) -> None:
    ideogram.simulated.tell("ideogram", Situation.MODERATION)
    status, told = await ideogram.json("/v1/ideogram-v3/generate", {"prompt": "a heron"})
    assert status == 200
    assert [(each["is_image_safe"], each["url"]) for each in told["data"]] == [(False, None)]


LISTS = {
    "generations": {"prompt": "a heron"},
    "imageToImage": {"prompt": "at night", "strength": "0.4", "image": ""},
    "inpaint": {"prompt": "a boat", "image": "", "mask": ""},
    "generateBackground": {"prompt": "a lake", "image": "", "mask": ""},
    "replaceBackground": {"prompt": "a lake", "image": ""},
    "variateImage": {"size": "1024x1024", "image": ""},
}
SINGLES = (
    "vectorize",
    "removeBackground",
    "crispUpscale",
    "creativeUpscale",
    "clarityUpscale",
    "generativeUpscale",
)
RECRAFT = {**LISTS, **{method: {"image": ""} for method in SINGLES}}
START = {"svg": b"<", "webp": b"RIFF", "png": b"\x89PNG"}


@pytest.mark.parametrize("method", RECRAFT)
async def test_recraft_answers_as_its_file_says(recraft: Client, method: str) -> None:
    fields = {**RECRAFT[method], "model": "recraftv3"}
    status, told = await recraft.form(f"/v1/images/{method}", {**fields, "n": "2"})
    assert status == 200, told
    assert set(told) == {"created", "credits", "data" if method in LISTS else "image"}
    made = told["data"] if method in LISTS else [told["image"]]
    assert len(made) == (2 if method in LISTS else 1)
    for each in made:
        assert set(each) == {"image_id", "url"}
        content = await fetched(each["url"])
        if method == "vectorize":
            assert b"<svg" in content
        else:
            assert content.startswith((START["webp"], START["png"]))


@pytest.mark.parametrize(
    ("method", "field"), [(method, field) for method in RECRAFT for field in RECRAFT[method]]
)
async def test_recraft_wants_what_its_file_requires(
    recraft: Client, method: str, field: str
) -> None:
    fields = {name: value for name, value in RECRAFT[method].items() if name != field}
    status, told = await recraft.form(f"/v1/images/{method}", {**fields, "model": "recraftv3"})
    assert (status, set(told)) == (400, {"code", "message"})


async def test_recraft_sends_bytes_of_the_form_that_is_asked_for(recraft: Client) -> None:
    body = {"prompt": "x", "model": "recraftv3", "response_format": "b64_json"}
    for form in ("webp", "png"):
        path = "/v1/images/generations"
        status, told = await recraft.json(path, {**body, "image_format": form})
        assert status == 200
        (made,) = told["data"]
        assert set(made) == {"image_id", "b64_json"}
        assert made["b64_json"].startswith("UklGR" if form == "webp" else "iVBORw0KGgo")


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": "recraft20b"},
        {"size": "1000x1000"},
        {"response_format": "jpeg"},
        {"image_format": "gif"},
    ],
)
async def test_recraft_refuses_values_that_it_does_not_list(
    recraft: Client, wrong: dict[str, str]
) -> None:
    body = {"prompt": "x", "model": "recraftv3", **wrong}
    assert (await recraft.json("/v1/images/generations", body))[0] == 400


async def test_recraft_says_whose_token_it_is(recraft: Client) -> None:
    status, told = await recraft.get("/v1/users/me")
    assert (status, set(told)) == (200, {"id", "email", "name", "credits"})


async def test_recraft_refuses_a_key_in_plain_text(recraft: Client) -> None:
    recraft.simulated.tell("recraft", Situation.AUTH)
    status, told = await recraft.json("/v1/images/generations", {"prompt": "x"})
    assert (status, told) == (401, "request unauthorized")
    status, told = await recraft.json("/v1/images/none", {})
    assert (status, isinstance(told, str)) == (404, True)
