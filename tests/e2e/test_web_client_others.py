"""The contract's rows of clients of other times: the first server's routes, and the late client's.

What the providers make of these requests is in `test_web_client.py`; here is what is refused in
which words, who comes in, and which addresses are known.
"""

from collections.abc import Callable
from typing import Final
from urllib.parse import quote
from uuid import uuid4

import aiohttp
import jwt
import pytest

from tests.e2e.conftest import admin_token
from tests.e2e.front import (
    OUTSIDE_ISSUER,
    OUTSIDE_SECRET,
    Front,
    Json,
    data_url,
    outside_token,
    picture,
    picture_at,
    refusal,
)
from tests.e2e.system import System

# --- The first server: one route for all models ---

CHECKS: tuple[tuple[Json, str], ...] = (
    ({}, "Prompt is required"),
    ({"prompt": "  ", "model": "no such"}, "Prompt is required"),
    ({"prompt": "a heron"}, "Model is required"),
    ({"prompt": "a heron", "model": ""}, "Model is required"),
    ({"prompt": "a heron", "model": "no such"}, "Unsupported model: no such"),
)


@pytest.mark.parametrize(("body", "text"), CHECKS)
async def test_what_is_missing_is_said_in_this_order(front: Front, body: Json, text: str) -> None:
    answer = await front.ask("POST", "/api/unified-generate", body)
    assert (answer.status, refusal(answer)) == (400, text)


UNIFIED = ("gemini-2.5-flash-image", "gemini-2.5-flash-image-preview", "ideogram", "qwen-image",
           "runway-gen4", "chatgpt-image", "reve-image", "recraft-v3", "recraft-v2",
           "luma-photon-1", "luma-photon-flash-1", "seedream-3.0", "flux-pro-1.1")  # fmt: skip


@pytest.mark.parametrize("model", UNIFIED)
async def test_one_route_knows_all_models(front: Front, model: str) -> None:
    said = await front.read("POST", "/api/quote", {"prompt": "a heron", "model": model})
    assert said["credits"] == 1


def as_it_is(text: str) -> str:
    return text


def raw(text: str) -> str:
    return text.partition(",")[2]


def in_lines(text: str) -> str:
    return "\n ".join(raw(text)[at : at + 60] for at in range(0, len(raw(text)), 60))


@pytest.mark.timeout(180)
@pytest.mark.parametrize("spelt", [as_it_is, raw, in_lines])
async def test_a_picture_is_a_data_url_or_raw_base64_with_white_space(
    front: Front, spelt: Callable[[str], str]
) -> None:
    person = await front.other()
    sent = spelt(data_url(picture()))
    body = {"prompt": "a heron", "model": "gemini-2.5-flash-image", "imageBase64": sent}
    made = await person.read("POST", "/api/unified-generate", body)
    assert made["imageBase64"]
    assert made["success"] is True


# --- The first server: Flux ---

FLUX_ORDERS: tuple[tuple[Json, str], ...] = (
    ({"model": "flux-pro-1.1"}, "Prompt is required"),
    ({"prompt": "a heron"}, "Model is required"),
    ({"prompt": "a heron", "model": "dall-e"}, "Unsupported model: dall-e"),
)


@pytest.mark.parametrize(("body", "text"), FLUX_ORDERS)
async def test_a_bad_flux_order_is_refused(front: Front, body: Json, text: str) -> None:
    answer = await front.ask("POST", "/api/flux/generate", body)
    assert (answer.status, refusal(answer)) == (400, text)


FLUX_MODELS = ("flux-pro-1.1", "flux-pro-1.1-ultra", "flux-kontext-pro", "flux-kontext-max",
               "flux-pro", "flux-dev")  # fmt: skip


@pytest.mark.timeout(180)
@pytest.mark.parametrize("model", FLUX_MODELS)
async def test_a_flux_order_is_queued_under_its_model(front: Front, model: str) -> None:
    person = await front.other()
    body = {"prompt": "a heron", "model": model, "useWebhook": False}
    queued = await person.read("POST", "/api/flux/generate", body)
    assert (queued["model"], queued["status"]) == (model, "queued")
    query = f"pollingUrl={quote(queued['pollingUrl'], safe='')}"
    told = await person.read("GET", f"/api/flux/result?{query}")
    assert told["status"] in {"Queued", "Processing", "Ready"}
    assert told["pollingUrl"] == queued["pollingUrl"]
    assert told["timestamp"]


POLLS = (
    "/api/flux/result",
    "/api/flux/result?pollingUrl=",
    "/api/flux/result?pollingUrl=nonsense",
    f"/api/flux/result?pollingUrl={quote('https://api.bfl.ai/v1/get_result?id=1', safe='')}",
    f"/api/flux/result?pollingUrl={quote('http://169.254.169.254/latest', safe='')}",
    "/api/flux/download",
    f"/api/flux/download?url={quote('http://127.0.0.1:1/', safe='')}",
    f"/api/flux/download?url={quote('https://example.com/fox.png', safe='')}",
)


@pytest.mark.parametrize("path", POLLS)
async def test_an_address_that_is_none_of_ours_is_not_fetched(front: Front, path: str) -> None:
    answer = await front.ask("GET", path)
    assert answer.status == 400
    refusal(answer)


async def test_flux_can_be_probed_and_its_webhook_asks_for_a_signature(front: Front) -> None:
    assert set(FLUX_MODELS) <= set((await front.read("GET", "/api/flux/test"))["models"])
    answer = await front.ask("POST", "/api/flux/webhook", {"id": "1", "status": "Ready"})
    assert answer.status == 401


# --- The first server: forms with files ---


def form(*files: str, **fields: str) -> aiohttp.FormData:
    made = aiohttp.FormData(fields)
    made.add_field("note", "")  # so that an empty one is a form, too
    for name in files:
        made.add_field(name, picture(64, 64), filename="a.png", content_type="image/png")
    return made


MISSING: tuple[tuple[str, tuple[str, ...], dict[str, str], str], ...] = (
    ("ideogram/edit", ("image", "mask"), {}, "Prompt is required"),
    ("ideogram/edit", ("mask",), {"prompt": "a hat"}, "Image file is required"),
    ("ideogram/edit", ("image",), {"prompt": "a hat"}, "Mask file is required"),
    ("ideogram/reframe", (), {"resolution": "512x1536"}, "Image file is required"),
    ("ideogram/reframe", ("image",), {}, "Resolution is required"),
    ("ideogram/replace-background", ("image",), {}, "Prompt is required"),
    ("ideogram/replace-background", (), {"prompt": "a forest"}, "Image file is required"),
    ("ideogram/upscale", (), {}, "Image file is required"),
    ("ideogram/describe", (), {}, "Image file is required"),
    ("ideogram/generate", (), {}, "Prompt is required"),
    ("qwen/image", (), {}, "Missing prompt"),
    ("qwen/image-edit", (), {"prompt": "night"}, "Missing image file"),
    ("qwen/image-edit", ("image",), {}, "Missing prompt"),
)


@pytest.mark.parametrize(("path", "files", "fields", "text"), MISSING)
async def test_a_missing_part_is_named_in_the_words_of_the_route(
    front: Front, path: str, files: tuple[str, ...], fields: dict[str, str], text: str
) -> None:
    answer = await front.ask("POST", f"/api/{path}", data=form(*files, **fields))
    assert (answer.status, refusal(answer)) == (400, text)


# --- Routes that a client knows and that are not offered ---

ELSEWHERE = (
    *(("POST", f"/api/image/{name}") for name in ("grok",)),
    *(("POST", f"/api/video/{name}") for name in ("veo", "omnihuman", "sora", "wan", "hailuo",
      "kling", "seedance")),
    ("POST", "/api/chatgpt-image"),
    ("POST", "/api/chatgpt-image/edit"),
    ("POST", "/api/generate-image"),
    ("POST", "/api/runway/image"),
    ("POST", "/api/reve/generate"),
    ("POST", "/api/reve/edit"),
    ("POST", "/api/reve/remix"),
    ("GET", "/api/reve/jobs/1"),
    *((method, f"/api/luma/{kind}") for method in ("GET", "POST") for kind in ("image", "video")),
    ("GET", "/api/unified-video?provider=veo&action=download&operationName=1"),
    ("POST", "/api/unified-video"),
    ("POST", "/api/scene/generate"),
    ("POST", "/api/timeline/generate"),
    ("GET", "/api/timeline/1"),
    ("POST", "/api/timeline/1/segments/2/regenerate"),
    ("POST", "/api/timeline/1/segments/2/revert"),
    ("POST", "/api/timeline/1/stitch"),
    ("GET", "/api/audio/voices"),
    ("POST", "/api/audio/voices/clone"),
    ("POST", "/api/audio/voices/generate"),
    ("POST", "/api/audio/pvc/create"),
    ("POST", "/api/audio/pvc/verify"),
    ("POST", "/api/audio/upload-recording"),
    ("GET", "/api/audio/tracks"),
    ("POST", "/api/audio/tracks/user"),
    ("POST", "/api/auth/dev-login"),
    ("POST", "/api/auth/magic-link"),
    ("GET", "/api/auth/google"),
    ("POST", "/api/auth/signout"),
    ("GET", "/api/users/by-username/ada"),
)  # fmt: skip


@pytest.mark.parametrize(("method", "path"), ELSEWHERE)
async def test_what_is_not_offered_says_so(front: Front, method: str, path: str) -> None:
    body = {"prompt": "a heron", "model": "x"} if method == "POST" else None
    answer = await front.ask(method, path, body)
    assert (answer.status, answer.body["code"]) == (501, "not_offered")
    refusal(answer)


# --- The late client: somebody else logs its people in ---


@pytest.fixture
async def late(front: Front) -> Front:
    """The late client's page, for somebody new."""
    return Front(front.url, front.session, "", outside_token(uuid4().hex))


async def test_who_comes_back_from_the_issuer_is_known(late: Front) -> None:
    body = {"access_token": late.token, "refresh_token": "x"}
    said = await late.read("POST", "/api/auth/oauth-callback", body, token="")
    for method, path, sent in (
        ("GET", "/api/users/me", None),
        ("GET", "/api/auth/me", None),
        ("POST", "/api/users/me", {"email": said["user"]["email"], "authUserId": "x"}),
    ):
        assert await late.read(method, path, sent) == said["user"]
    assert said["user"]["credits"] == 10


async def test_a_late_profile_picture_comes_and_goes(late: Front) -> None:
    raw = data_url(picture(64, 64)).partition(",")[2]
    body = {"base64Data": raw, "mimeType": "image/png"}
    shown = await late.read("POST", "/api/users/me/profile-picture", body)
    assert shown["profileImage"].startswith(late.url)
    gone = await late.read("POST", "/api/users/me/remove-profile-picture", {})
    assert gone["profileImage"] is None


HOSTILE: Final = {
    "expired": {"exp": 1},
    "of another issuer": {"iss": "https://evil.example.com/auth/v1"},
    "for another audience": {"aud": "anon"},
    "of nobody": {"sub": ""},
    "not yet good": {"nbf": 4_000_000_000},
    "for ever": {"exp": None},
}


@pytest.mark.parametrize("changes", HOSTILE.values(), ids=HOSTILE)
async def test_a_hostile_token_opens_nothing(front: Front, changes: Json) -> None:
    answer = await front.ask("GET", "/api/auth/me", token=outside_token("eve", **changes))
    assert answer.status == 401
    refusal(answer)


def unsigned(claims: Json) -> str:
    return jwt.encode(claims, None, algorithm="none")  # type: ignore[arg-type]  # as it says


async def test_a_token_that_nobody_has_signed_opens_nothing(front: Front) -> None:
    claims = jwt.decode(front.token, options={"verify_signature": False})
    theirs = jwt.decode(outside_token("eve"), options={"verify_signature": False})
    forged = [
        unsigned(claims),
        unsigned(theirs),
        jwt.encode(claims, "another secret of more than 32 bytes", algorithm="HS256"),
        jwt.encode(theirs, "another secret of more than 32 bytes", algorithm="HS256"),
        jwt.encode(claims, OUTSIDE_SECRET, algorithm="HS256"),  # theirs does not sign ours
        jwt.encode(claims | {"iss": OUTSIDE_ISSUER}, OUTSIDE_SECRET, algorithm="HS512"),
        front.token[:-2],
        f"{front.token}.x",
    ]
    for token in forged:
        answer = await front.ask("GET", "/api/auth/me", token=token)
        assert answer.status == 401, token
        refusal(answer)


# --- The late client: jobs ---

LATE_MODELS = (
    ("gemini", "gemini-3.0-pro-image"),
    ("flux", "flux-2-pro"),
    ("flux", "flux-2-flex"),
    ("openai", "gpt-image-1.5"),
    ("ideogram", "ideogram"),
    ("qwen", "qwen-image"),
    ("reve", "reve-image-1.0"),
    ("runway", "runway-gen4"),
    ("luma", "luma-photon-1"),
    ("luma", "luma-photon-flash-1"),
    ("recraft", "recraft-v3"),
    ("recraft", "recraft-v2"),
)


@pytest.mark.parametrize(("provider", "model"), LATE_MODELS)
async def test_a_late_model_is_known(front: Front, provider: str, model: str) -> None:
    body = {"prompt": "a heron", "provider": provider, "model": model}
    assert (await front.read("POST", "/api/quote", body))["credits"] == 1


@pytest.mark.timeout(180)
async def test_the_late_client_gets_a_job_and_polls_it(late: Front) -> None:
    """Options that it sends beside those that we know do no harm."""
    body = {
        "prompt": "a heron",
        "model": "flux-2-pro",
        "references": [],
        "jobType": "IMAGE_GENERATION",
        "avatarId": "a",
        "avatarImageId": "b",
        "productId": "c",
        "styleId": "d",
    }
    accepted = await late.ask("POST", "/api/image/flux", body)
    assert accepted.status == 202
    job = await late.job(accepted.body["jobId"], "COMPLETED", "FAILED", "CANCELLED")
    assert (job["status"], job["progress"]) == ("COMPLETED", 100)
    assert picture_at(job["resultUrl"]) == picture_at(job["metadata"]["url"])
    assert job["metadata"]["stage"] == "completed"


KINDS = {"IMAGE_GENERATION": 1, "IMAGE_EDIT": 0, "IMAGE_RESIZE": 0, "VIDEO_GENERATION": 0}


@pytest.mark.parametrize("kind", KINDS)
async def test_jobs_are_listed_by_type(front: Front, kind: str) -> None:
    person = await front.other()
    await person.read("POST", "/api/image/local", {"prompt": "a heron", "model": "local-sketch"})
    listed = await person.read("GET", f"/api/jobs?type={kind}")
    assert len(listed) == KINDS[kind]
    for job in listed:
        assert {"id", "type", "status", "progress", "resultUrl", "createdAt"} <= set(job)
        assert job["type"] == kind


# --- The late server's administrators ---


async def test_administrators_see_usage_and_balances(front: Front, system: System) -> None:
    token = await admin_token(front, system)
    for path in ("/api/usage/events", "/api/users/balances"):
        assert (await front.read("GET", path, token=token))["items"]
        assert (await front.ask("GET", path)).status == 403
