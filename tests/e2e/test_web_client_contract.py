"""The web client's contract, row by row: who may read, errors, accounts, generations and jobs.

One case for each row of its tables, all against one running system. What each provider's hook sends
and reads is in `test_web_client.py`; clients of other times are in `test_web_client_others.py`.
"""

import io
import json
from typing import Any, Final
from uuid import uuid4

import pytest
from PIL import Image

from tests.e2e.front import (
    ORIGIN,
    Front,
    Json,
    data_url,
    picture,
    picture_at,
    refusal,
    token_in_mail,
)
from tests.e2e.system import PASSWORD, System

LOCAL: Final = "/api/image/local"
# Of no job and no picture; fixed, because it stands in the names of tests.
NOBODY: Final = "00000000-0000-7000-8000-000000000000"
SESSION_WORDS: Final = ("unauthorized", "token expired", "session expired", "not authenticated")
PLAN_WORDS: Final = ("quota", "plan limit", "out of credits", "insufficient credit")


def means(sentence: str, words: tuple[str, ...]) -> bool:
    """Whether the client takes a text for one of its notices: it looks for these words in it."""
    return any(word in sentence.lower() for word in words)


# --- Ground rules: CORS ---

ORIGINS = ("http://localhost:5173", "http://localhost:4173", "http://localhost:5177",
           "http://localhost:3000")  # fmt: skip
PREFLIGHTS = (
    ("GET", "/api/r2files"),
    ("DELETE", "/api/r2files/1"),
    ("GET", "/api/auth/me"),
    ("POST", "/api/unified-generate"),
    ("POST", "/api/image/gemini"),
    ("PATCH", "/api/users/me"),
    ("PUT", "/api/upload/put/1"),
    ("OPTIONS", "/api/jobs"),
    ("GET", "/api/there/is/nothing"),
)


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize(("method", "path"), PREFLIGHTS)
async def test_a_preflight_allows_what_the_client_sends(
    front: Front, origin: str, method: str, path: str
) -> None:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type,x-requested-with",
    }
    async with front.session.options(front.url + path, headers=headers) as answer:
        assert answer.status == 200
        assert answer.headers["Access-Control-Allow-Origin"] == origin
        assert method in answer.headers["Access-Control-Allow-Methods"]
        allowed = answer.headers["Access-Control-Allow-Headers"].lower()
        assert {"authorization", "content-type", "x-requested-with"} <= set(allowed.split(", "))
        assert "Access-Control-Allow-Credentials" not in answer.headers  # there are no cookies


async def test_another_origin_is_not_let_in(front: Front) -> None:
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"}
    async with front.session.options(f"{front.url}/api/auth/me", headers=headers) as answer:
        assert "Access-Control-Allow-Origin" not in answer.headers


async def test_a_picture_is_loaded_without_a_log_in_and_drawn_on_a_canvas(front: Front) -> None:
    made = await front.read("POST", LOCAL, {"prompt": "a heron", "model": "local-sketch"})
    headers = {"Origin": "https://anywhere.example"}
    async with front.session.get(made["dataUrl"], headers=headers) as answer:
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.headers["Content-Type"] == made["contentType"]
        kind = Image.open(io.BytesIO(await answer.read())).format
    assert f"image/{kind}".lower() == made["contentType"]


async def test_three_references_and_a_source_of_many_megabytes_are_taken(front: Front) -> None:
    person = await front.other()
    sent = data_url(picture(1_100, 1_100))
    assert len(sent) > 1_500_000
    body = {"prompt": "a heron", "model": "gemini-2.5-flash-image", "imageBase64": sent}
    made = await person.read("POST", "/api/image/gemini", {**body, "references": [sent] * 3})
    assert made["imageBase64"]


# --- Errors: status, and one sentence as strings, whoever reads it ---

ERRORS: tuple[tuple[int, str, str, Any], ...] = (
    (400, "POST", "/api/unified-generate", {"model": "local-sketch"}),
    (400, "POST", "/api/auth/signup", {"email": "nobody", "password": PASSWORD}),
    (400, "POST", "/api/auth/signup", [1, 2]),
    (403, "GET", "/api/usage/events", None),
    (404, "GET", f"/api/jobs/{NOBODY}", None),
    (404, "DELETE", f"/api/r2files/{NOBODY}", None),
    (404, "GET", "/api/there/is/nothing", None),
    (405, "DELETE", "/api/auth/me", None),
    (413, "PATCH", "/api/users/me", {"profileImage": "x" * 7_100_000}),
    (422, "POST", "/api/image/gemini", {"prompt": " "}),
    (501, "POST", "/api/image/grok", {"prompt": "a heron", "model": "grok-2-image"}),
)


@pytest.mark.parametrize(("status", "method", "path", "body"), ERRORS)
async def test_an_error_is_one_readable_sentence(
    front: Front, status: int, method: str, path: str, body: Any
) -> None:
    answer = await front.ask(method, path, body)
    assert answer.status == status, answer.body
    assert not means(refusal(answer), SESSION_WORDS + PLAN_WORDS)


WITH_A_LOG_IN = (
    ("GET", "/api/auth/me"),
    ("PATCH", "/api/users/me"),
    ("POST", "/api/unified-generate"),
    ("POST", "/api/image/gemini"),
    ("POST", "/api/jobs"),
    ("GET", "/api/jobs"),
    ("GET", f"/api/jobs/{NOBODY}"),
    ("GET", "/api/events"),
    ("GET", "/api/r2files"),
    ("DELETE", f"/api/r2files/{NOBODY}"),
    ("GET", "/api/credits/balance"),
)


@pytest.mark.parametrize("token", ["", "nonsense", "a.b.c", "undefined"])
@pytest.mark.parametrize(("method", "path"), WITH_A_LOG_IN)
async def test_without_a_good_token_the_session_is_over(
    front: Front, method: str, path: str, token: str
) -> None:
    stranger = Front(front.url, front.session)
    answer = await stranger.ask(method, path, None if method == "GET" else {}, token=token)
    assert answer.status == 401
    assert means(refusal(answer), SESSION_WORDS)
    assert not means(refusal(answer), PLAN_WORDS)


async def test_the_token_of_who_has_left_logs_out_at_the_next_start(front: Front) -> None:
    person = await front.other()
    await person.read("DELETE", "/api/users/me", {"password": PASSWORD})
    answer = await person.ask("GET", "/api/auth/me")
    assert answer.status == 401
    assert means(refusal(answer), SESSION_WORDS)


async def test_a_spent_account_is_told_its_plan_is_at_an_end(front: Front) -> None:
    person = await front.other()
    body = {"prompt": "herons", "model": "local-sketch", "n": 8}
    await person.read("POST", "/api/jobs", body)
    for path in (LOCAL, "/api/unified-generate", "/api/jobs"):
        answer = await person.ask("POST", path, body)
        assert answer.status == 402
        assert means(refusal(answer), PLAN_WORDS)


async def test_gemini_is_never_answered_400_which_would_be_sent_again(front: Front) -> None:
    wrong: tuple[Any, ...] = (
        {},
        [],
        {"prompt": 7},
        {"prompt": "x", "model": "gemini-9"},
        {"prompt": "x", "imageBase64": "no picture"},
        {"prompt": "x", "references": ["no picture"]},
        {"prompt": "x", "providerOptions": {"deep": [[[[[[[1]]]]]]]}},
    )
    for body in wrong:
        answer = await front.ask("POST", "/api/image/gemini", body)
        assert answer.status == 422, body
        refusal(answer)
    sent: Any
    for sent in (b"", b"{", b'{"prompt": NaN}', b"\xff"):
        headers = {"Origin": ORIGIN, "Authorization": f"Bearer {front.token}",
                   "Content-Type": "application/json"}  # fmt: skip
        url = f"{front.url}/api/image/gemini"
        async with front.session.post(url, data=sent, headers=headers) as answered:
            assert answered.status == 422, sent


# A provider's trouble, by the simulators' marks: status and words that clients do not take for
# something of their person's.
TROUBLES = (
    ("flux", "flux-pro-1.1", "bad_request", 422),
    ("flux", "flux-pro-1.1", "moderation", 422),
    ("chatgpt", "chatgpt-image", "moderation", 422),
    ("chatgpt", "chatgpt-image", "credit", 502),
    ("runway", "runway-gen4", "moderation", 422),
    ("runway", "runway-gen4", "credit", 422),
)


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("provider", "model", "situation", "status"), TROUBLES)
async def test_a_providers_trouble_is_told_as_what_it_is(
    front: Front, provider: str, model: str, situation: str, status: int
) -> None:
    person = await front.other()
    body = {"prompt": f"a heron [[{situation}]]", "model": model}
    answer = await person.ask("POST", f"/api/image/{provider}", body)
    assert answer.status == status, answer.body
    sentence = refusal(answer)
    assert not means(sentence, SESSION_WORDS + PLAN_WORDS)
    if provider == "runway":
        assert answer.body["details"]["error"] == sentence
    job = await person.read("GET", f"/api/jobs/{answer.body['jobId']}")
    assert (job["status"], job["error"], job["resultUrl"]) == ("FAILED", sentence, None)
    assert (await person.read("GET", "/api/auth/me"))["credits"] == 10


# --- Texts that log-in forms look for ---

FORMS = (
    ("/api/auth/signup", {"email": "nobody", "password": PASSWORD}, 400, "valid email"),
    ("/api/auth/signup", {"email": "a@b.cd", "password": "short"}, 400,
     "password must be at least"),
    ("/api/auth/login", {"email": f"{NOBODY}@b.cd", "password": PASSWORD}, 401,
     "Invalid email or password"),
    ("/api/auth/reset-password", {"token": "x", "newPassword": PASSWORD}, 400, "reset token"),
    ("/api/auth/forgot-password", {"email": "nobody"}, 400, "valid email"),
)  # fmt: skip


@pytest.mark.parametrize(("path", "body", "status", "text"), FORMS)
async def test_a_form_finds_its_notice(
    front: Front, path: str, body: Json, status: int, text: str
) -> None:
    answer = await front.ask("POST", path, body, token="")
    assert answer.status == status
    sentence = refusal(answer)
    assert text in sentence or text in sentence.lower()
    assert not ("google" in sentence.lower() and "email" in sentence.lower())


async def test_log_ins_are_not_guessed(front: Front) -> None:
    body = {"email": f"{uuid4()}@example.com", "password": "wrong horse"}
    answers = [await front.ask("POST", "/api/auth/login", body, token="") for _ in range(12)]
    assert [each.status for each in answers] == [401] * 10 + [429] * 2
    assert all(map(refusal, answers))
    assert int(answers[-1].headers["Retry-After"]) > 0


# --- Accounts ---

USER: Final[dict[str, tuple[type, ...]]] = {
    "id": (str,),
    "authUserId": (str,),
    "email": (str,),
    "displayName": (str, type(None)),
    "credits": (int,),
    "profileImage": (str, type(None)),
    "role": (str,),
    "createdAt": (str,),
    "updatedAt": (str,),
}


@pytest.mark.parametrize("field", USER)
async def test_the_user_object_has_its_fields(front: Front, field: str) -> None:
    user = await front.read("GET", "/api/auth/me")
    assert isinstance(user[field], USER[field])


async def test_sign_up_logs_in_at_once(front: Front) -> None:
    email = f"{uuid4()}@Example.COM"
    body = {"email": email, "password": PASSWORD, "displayName": "Ada"}
    said = await front.read("POST", "/api/auth/signup", body, token="")
    assert set(said["user"]) >= set(USER)
    assert (said["user"]["displayName"], said["user"]["role"]) == ("Ada", "USER")
    assert said["user"]["credits"] == 10
    assert await front.read("GET", "/api/auth/me", token=said["accessToken"]) == said["user"]
    again = await front.ask("POST", "/api/auth/signup", body | {"email": email.lower()}, token="")
    assert again.status == 409
    assert "Email is already registered" in refusal(again)


async def test_a_log_in_takes_the_address_as_it_was_typed(front: Front) -> None:
    person = await front.other()
    body = {"email": person.email.upper(), "password": PASSWORD}
    said = await front.read("POST", "/api/auth/login", body, token="")
    assert said["user"] == await person.read("GET", "/api/auth/me")
    assert said["accessToken"]


async def test_only_the_field_that_is_sent_changes(front: Front) -> None:
    person = await front.other()
    image = data_url(picture())
    shown = await person.read("PATCH", "/api/users/me", {"profileImage": image})
    assert shown["profileImage"].startswith(front.url)
    async with front.session.get(shown["profileImage"], headers={"Origin": ORIGIN}) as answer:
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.headers["Content-Type"].startswith("image/")
    named = await person.read("PATCH", "/api/users/me", {"displayName": "Ada"})
    assert (named["displayName"], named["profileImage"]) == ("Ada", shown["profileImage"])
    bare = await person.read("PATCH", "/api/users/me", {"profileImage": None})
    assert (bare["displayName"], bare["profileImage"]) == ("Ada", None)
    nameless = await person.read("PATCH", "/api/users/me", {"displayName": None})
    assert nameless["displayName"] is None
    assert set(nameless) >= set(USER)


async def test_a_forgotten_password_is_set_by_the_mails_link(front: Front, system: System) -> None:
    person = await front.other()
    await front.read("POST", "/api/auth/forgot-password", {"email": person.email}, token="")
    token = await token_in_mail(system.home / "mails", person.email)
    body = {"token": token, "newPassword": "another horse entirely"}
    await front.read("POST", "/api/auth/reset-password", body, token="")
    used = await front.ask("POST", "/api/auth/reset-password", body, token="")
    assert (used.status, "reset token" in refusal(used)) == (400, True)
    log_in = {"email": person.email, "password": body["newPassword"]}
    assert (await front.read("POST", "/api/auth/login", log_in, token=""))["accessToken"]


async def test_nobody_learns_who_is_registered(front: Front) -> None:
    answers = [
        (await front.ask("POST", "/api/auth/forgot-password", {"email": email}, token="")).content
        for email in (front.email, f"{uuid4()}@example.com")
    ]
    assert answers[0] == answers[1]


async def test_credits_are_seen_at_the_next_load(front: Front) -> None:
    person = await front.other()
    await person.read("POST", LOCAL, {"prompt": "a heron", "model": "local-sketch"})
    assert (await person.read("GET", "/api/auth/me"))["credits"] == 9


# --- Generations ---

PROVIDERS = ("gemini", "flux", "chatgpt", "ideogram", "qwen", "runway", "reve", "recraft", "luma",
             "seedream")  # fmt: skip
MODELS = (
    *(("gemini", f"gemini-2.5-flash-image{each}") for each in ("", "-preview")),
    *(("flux", f"flux-{each}") for each in ("pro-1.1", "pro-1.1-ultra", "kontext-pro",
      "kontext-max", "t1", "t2", "e1", "e2", "1.1", "pro", "dev")),
    ("chatgpt", "chatgpt-image"),
    ("ideogram", "ideogram"),
    ("qwen", "qwen-image"),
    ("runway", "runway-gen4"),
    *(("reve", f"reve-image{each}") for each in ("", "-1.0")),
    *(("recraft", f"recraft{each}") for each in ("", "-v3", "-v2")),
    ("seedream", "seedream-3.0"),
    *(("luma", f"luma-photon-{each}1") for each in ("", "flash-")),
)  # fmt: skip


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_every_provider_has_its_path(front: Front, provider: str) -> None:
    answer = await front.ask("POST", f"/api/image/{provider}", {"prompt": ""})
    assert answer.status == (422 if provider == "gemini" else 400)
    assert refusal(answer) == "Prompt is required"


@pytest.mark.parametrize(("provider", "model"), MODELS)
async def test_every_model_is_known_by_the_name_that_is_sent(
    front: Front, provider: str, model: str
) -> None:
    body = {"prompt": "a heron", "provider": provider, "model": model}
    assert (await front.read("POST", "/api/quote", body))["credits"] == 1


async def test_one_body_pleases_every_client_that_waits(front: Front) -> None:
    body = {"prompt": "a heron", "model": "local-sketch"}
    made = await front.read("POST", "/api/unified-generate", body)
    assert (made["success"], made["status"], made["model"]) == (True, "completed", "local-sketch")
    assert made["mimeType"] == made["contentType"]
    assert made["mimeType"] in {"image/png", "image/jpeg"}
    assert not made["imageBase64"].startswith("data:")
    for name in ("dataUrls", "images"):
        assert [picture_at(each) for each in made[name]] == [picture_at(made["dataUrl"])]


async def test_a_batch_is_the_same_request_again(front: Front) -> None:
    body = {"prompt": "a heron", "model": "local-sketch"}
    made = [(await front.read("POST", LOCAL, body))["jobId"] for _ in range(3)]
    assert len(set(made)) == 3


# --- Jobs ---

JOB: Final[dict[str, tuple[type, ...]]] = {
    "id": (str,),
    "status": (str,),
    "progress": (int,),
    "resultUrl": (str,),
    "error": (type(None),),
    "metadata": (dict,),
}


@pytest.mark.parametrize("field", JOB)
async def test_a_job_has_the_fields_that_are_polled(front: Front, field: str) -> None:
    made = await front.read("POST", LOCAL, {"prompt": "a heron", "model": "local-sketch"})
    job = await front.read("GET", f"/api/jobs/{made['jobId']}")
    assert isinstance(job[field], JOB[field])
    assert (job["id"], job["status"], job["progress"]) == (made["jobId"], "COMPLETED", 100)
    metadata = job["metadata"]
    urls = {metadata[name] for name in ("fileUrl", "r2FileUrl", "url")} | {metadata["results"][0]}
    assert {picture_at(each) for each in urls} == {picture_at(job["resultUrl"])}
    assert metadata["stage"] == "completed"


@pytest.mark.timeout(180)
async def test_a_job_can_be_polled_from_the_first_moment_to_its_end(front: Front) -> None:
    body = {"prompt": "a heron [[latency=3]]", "model": "flux-pro-1.1"}
    headers = {"Prefer": "respond-async"}
    accepted = await front.ask("POST", "/api/image/flux", body, headers=headers)
    assert (accepted.status, accepted.body["status"]) == (202, "PENDING")
    assert accepted.headers["Location"] == f"/api/jobs/{accepted.body['jobId']}"
    first = await front.read("GET", accepted.headers["Location"])
    assert first["status"] in {"PENDING", "PROCESSING"}
    assert (first["resultUrl"], first["error"]) == (None, None)
    done = await front.job(accepted.body["jobId"], "COMPLETED", "FAILED", "CANCELLED")
    assert done["status"] == "COMPLETED"
    listed = (await front.read("GET", "/api/r2files"))["items"]
    assert picture_at(done["resultUrl"]) in {picture_at(each["fileUrl"]) for each in listed}


async def test_nobody_else_finds_a_job(front: Front) -> None:
    made = await front.read("POST", LOCAL, {"prompt": "a heron", "model": "local-sketch"})
    other = await front.other()
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/events")):
        answer = await other.ask(method, f"/api/jobs/{made['jobId']}{path}")
        assert (answer.status, answer.body["code"]) == (404, "job_not_found")


@pytest.mark.timeout(180)
async def test_a_job_is_cancelled_and_says_so(front: Front) -> None:
    person = await front.other()
    body = {"prompt": "a heron [[never]]", "provider": "flux", "model": "flux-pro-1.1"}
    job_id = (await person.read("POST", "/api/jobs", body))["jobId"]
    asked = await person.ask("DELETE", f"/api/jobs/{job_id}")
    assert asked.status == 202
    job = await person.job(job_id, "CANCELLED", "COMPLETED", "FAILED")
    assert (job["status"], bool(job["error"])) == ("CANCELLED", True)
    assert (await person.read("GET", "/api/auth/me"))["credits"] == 10
    assert (await person.ask("DELETE", f"/api/jobs/{job_id}")).status == 200


@pytest.mark.timeout(180)
async def test_a_stream_tells_a_page_what_polling_would(front: Front) -> None:
    """By a ticket, as a browser's EventSource can send no bearer, and without one more poll."""
    person = await front.other()
    body = {"prompt": "a heron", "model": "local-sketch"}
    job_id = (await person.read("POST", "/api/jobs", body))["jobId"]
    path = f"/api/jobs/{job_id}/events"
    ticket = (await person.read("POST", "/api/stream-tickets", {"stream": path}))["ticket"]
    told = await front.ask("GET", f"{path}?ticket={ticket}", token="")
    assert told.headers["Content-Type"].startswith("text/event-stream")
    *_, last = told.content.decode().strip().split("\n\n")
    _, event, data = last.split("\n")
    assert event in {"event: job.completed", "event: snapshot"}
    shown = json.loads(data.removeprefix("data: "))
    job = await person.read("GET", f"/api/jobs/{job_id}")
    assert {**shown, "resultUrl": "", "metadata": {}} == {**job, "resultUrl": "", "metadata": {}}
    assert picture_at(shown["resultUrl"]) == picture_at(job["resultUrl"])
