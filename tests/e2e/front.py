"""The web client's side of the wire: a page at its own origin, which must be let read all of it."""

import base64
import io
import json
import re
import secrets
import time
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import aiohttp
import jwt
from msgspec import Struct
from multidict import CIMultiDictProxy
from PIL import Image

from tests.e2e.system import PASSWORD, until

Json = dict[str, Any]
ORIGIN = "http://localhost:5173"
OUTSIDE_ISSUER = "https://project.example.com/auth/v1"
OUTSIDE_SECRET = "between the issuer and us alone, as long as any kind of HMAC may want it"


class Answer(Struct):
    """What a page sees of an answer; `body` is None where there is no JSON."""

    status: int
    headers: CIMultiDictProxy[str]
    content: bytes
    body: Any


class Front(Struct):
    """A page of the web client with the token that it keeps; a person of its own."""

    url: str
    session: aiohttp.ClientSession
    email: str = ""
    token: str = ""

    async def ask(
        self,
        method: str,
        path: str,
        body: Json | list[Any] | None = None,
        *,
        token: str | None = None,
        **options: Any,
    ) -> Answer:
        """An answer that the page may read: without the header for its origin it could not."""
        headers = {"Origin": ORIGIN, **options.pop("headers", {})}
        if bearer := self.token if token is None else token:
            headers["Authorization"] = f"Bearer {bearer}"
        if body is not None:  # perhaps of many megabytes
            options["data"] = io.BytesIO(json.dumps(body).encode())
            headers["Content-Type"] = "application/json"
        asked = self.session.request(method, self.url + path, headers=headers, **options)
        async with asked as answer:
            content = await answer.read()
            assert answer.headers.get("Access-Control-Allow-Origin") in {ORIGIN, "*"}, path
            is_json = "json" in answer.headers.get("Content-Type", "")
            return Answer(
                answer.status,
                answer.headers,
                content,
                await answer.json(content_type=None) if is_json else None,
            )

    async def read(self, method: str, path: str, body: Json | None = None, **options: Any) -> Any:
        """The body of an answer that is good."""
        answer = await self.ask(method, path, body, **options)
        assert 200 <= answer.status < 300, (path, answer.status, answer.body)
        return answer.body

    async def other(self) -> "Front":
        """The same page for somebody new."""
        email = f"{secrets.token_hex(8)}@example.com"
        body = {"email": email, "password": PASSWORD}
        said = await self.read("POST", "/api/auth/signup", body, token="")
        return Front(self.url, self.session, email, said["accessToken"])

    async def job(self, job_id: str, *statuses: str) -> Json:
        """A job once it has one of these statuses."""
        found: Json = {}

        async def has_status() -> bool:
            nonlocal found
            found = await self.read("GET", f"/api/jobs/{job_id}")
            return found["status"] in statuses

        await until(has_status, seconds=90)
        return found


def picture(width: int = 256, height: int = 256) -> bytes:
    """A PNG that nobody can shrink."""
    content = io.BytesIO()
    Image.effect_noise((width, height), 90).convert("RGB").save(content, "PNG")
    return content.getvalue()


def data_url(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def picture_at(url: str) -> str:
    """Which picture an address leads to, whatever lets one in there for how long."""
    return url.partition("?")[0]


def outside_token(subject: str, **changes: Any) -> str:
    """A log-in at the outside issuer."""
    now = time.time()
    claims: Json = {
        "iss": OUTSIDE_ISSUER,
        "aud": "authenticated",
        "sub": subject,
        "iat": now,
        "exp": now + 600,
        "email": f"{subject}@example.com",
        "email_verified": True,
    }
    return jwt.encode(claims | changes, OUTSIDE_SECRET, algorithm="HS256")


def refusal(answer: Answer) -> str:
    """The sentence of a refusal, which every generation of the client finds and shows."""
    assert answer.body["error"] == answer.body["message"]
    assert answer.body["type"] == f"urn:daygen:problem:{answer.body['code']}"
    sentence: str = answer.body["error"]
    assert isinstance(sentence, str)
    assert sentence.strip()
    return sentence


async def token_in_mail(mails: Path, to: str) -> str:
    """The token behind the link of a mail to somebody."""
    found: list[str] = []

    async def has_come() -> bool:
        found.extend(_tokens(mails, to))
        return bool(found)

    await until(has_come, seconds=30)
    return found[-1]


def _tokens(mails: Path, to: str) -> list[str]:
    read = [
        message_from_bytes(each.read_bytes(), policy=policy.default)
        for each in sorted(mails.glob("[0-9]*.eml"))
    ]
    text = "".join(each.get_content() for each in read if to in str(each["To"]))
    return re.findall(rf"{ORIGIN}/reset-password\?token=(\S+)", text)
