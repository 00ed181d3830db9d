"""Forgotten passwords through HTTP and a mail server; what becomes of mails when things die."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from uuid import UUID, uuid4

import bcrypt
import httpx2
import pytest
from msgspec.structs import replace
from pydantic import SecretStr

from infra.simulators.mail import MailSink
from libs.events.credits import CreditsNotificationRequested
from libs.events.envelope import encode
from libs.events.testing import NOW, event
from libs.events.transport import OutgoingMessage
from libs.runtime.clock import SystemClock
from services.gateway.adapters.smtp import SmtpPost
from services.gateway.handlers.mails import LEASE, Mailing
from services.gateway.ports import Letter, MailDelayedError, MailRefusedError
from services.gateway.tests.integration.conftest import (
    NOBODY_LISTENS,
    PASSWORD,
    RunningGateway,
    Start,
)

WAIT_SECONDS = 60.0
NEW = "another horse entirely"
CLIENT = "https://app.example.com"


class Mails:
    """A mail server, and what came."""

    def __init__(self, directory: Path) -> None:
        self.sink = MailSink(directory)
        self._directory = directory
        self.port = 0

    @property
    def settings(self) -> dict[str, Any]:
        url = SecretStr(f"smtp://127.0.0.1:{self.port}")
        return {"smtp_url": url, "mail_from": "noreply@example.com", "client_base_url": CLIENT}

    def all(self) -> list[dict[str, str]]:
        files = sorted(self._directory.glob("[0-9]*.eml"))
        mails = [message_from_bytes(each.read_bytes(), policy=policy.default) for each in files]
        return [
            {
                "to": str(each["To"]),
                "id": str(each["Message-ID"]),
                "subject": str(each["Subject"]),
                "text": each.get_content(),
            }
            for each in mails
        ]

    async def next(self, count: int) -> dict[str, str]:
        """The mail that makes it so many."""
        async with asyncio.timeout(WAIT_SECONDS):
            while len(self.all()) < count:
                await asyncio.sleep(0.05)
        return self.all()[count - 1]


@pytest.fixture
async def mails(tmp_path: Path) -> AsyncIterator[Mails]:
    served = Mails(tmp_path / "mails")
    async with served.sink.listening(0) as served.port:
        yield served


async def forgot(gateway: RunningGateway, email: Any) -> httpx2.Response:
    return await gateway.client.post("/api/auth/forgot-password", json={"email": email})


async def reset(gateway: RunningGateway, token: Any, password: Any = NEW) -> httpx2.Response:
    body = {"token": token, "newPassword": password}
    return await gateway.client.post("/api/auth/reset-password", json=body)


async def log_in(gateway: RunningGateway, password: str) -> int:
    body = {"email": "ada@example.com", "password": password}
    return (await gateway.client.post("/api/auth/login", json=body)).status_code


def token_in(mail: dict[str, str]) -> str:
    link = next(line for line in mail["text"].splitlines() if line.startswith(CLIENT))
    path, _, token = link.partition("?token=")
    assert path == f"{CLIENT}/reset-password"
    return unquote(token)


async def test_a_forgotten_password_is_set_anew_once_and_ends_all_log_ins(
    start_gateway: Start, mails: Mails
) -> None:
    gateway = await start_gateway(**mails.settings)
    ada = await gateway.sign_up("ada@example.com")
    assert (await forgot(gateway, " ADA@example.com ")).status_code == 202
    assert (await forgot(gateway, "ada@example.com")).status_code == 202
    tokens = [token_in(await mails.next(number)) for number in (1, 2)]
    assert mails.all()[0]["to"] == "ada@example.com"
    short = await reset(gateway, tokens[0], "short")
    assert (short.status_code, short.json()["code"]) == (400, "invalid_request")
    answers = await asyncio.gather(*(reset(gateway, tokens[0]) for _ in range(4)))
    assert sorted(each.status_code for each in answers) == [200, 400, 400, 400]
    for token in tokens:  # one is used, the other went with it
        refused = await reset(gateway, token)
        assert (refused.status_code, refused.json()["code"]) == (400, "bad_reset_token")
        assert "reset token" in refused.json()["message"]
    assert (await ada.get("/api/auth/me")).status_code == 401
    assert [await log_in(gateway, each) for each in (PASSWORD, NEW)] == [401, 200]
    assert (await mails.next(3))["subject"] == "Your DayGen password was changed"
    published = b"".join([encoded for _, encoded in await gateway.streams.published()])
    assert b"ada@" not in published
    assert not any(token.encode() in published for token in tokens)


async def test_a_token_expires_and_what_never_was_one_opens_nothing(
    start_gateway: Start, mails: Mails
) -> None:
    gateway = await start_gateway(**mails.settings)
    await gateway.sign_up("ada@example.com")
    await forgot(gateway, "ada@example.com")
    token = token_in(await mails.next(1))
    hashed = await gateway.value("SELECT encode(token_sha256, 'escape') FROM password_reset")
    assert token not in hashed
    await gateway.run("UPDATE password_reset SET expires_at = now()")
    for each in (token, "", None, "x", "\0", "x" * 10_000):
        assert (await reset(gateway, each)).json()["code"] == "bad_reset_token"
    lone = b'{"token": "\\ud800", "newPassword": "another horse"}'
    headers = {"Content-Type": "application/json"}
    answer = await gateway.client.post("/api/auth/reset-password", content=lone, headers=headers)
    assert answer.status_code == 400
    assert await log_in(gateway, PASSWORD) == 200


async def test_nobody_learns_whether_an_address_is_known(
    start_gateway: Start, mails: Mails
) -> None:
    gateway = await start_gateway(**mails.settings, log_in_attempts=50)
    await gateway.sign_up("ada@example.com")
    seconds: dict[str, list[float]] = {"ada@example.com": [], "eve@example.com": []}
    bodies = set()
    for email in list(seconds) * 10:
        started = time.perf_counter()
        answer = await forgot(gateway, email)
        seconds[email].append(time.perf_counter() - started)
        bodies.add((answer.status_code, answer.text))
    assert len(bodies) == 1
    known, unknown = (statistics.median(each) for each in seconds.values())
    assert known / 3 < unknown < known * 3
    await mails.next(10)
    async with asyncio.timeout(WAIT_SECONDS):
        while await gateway.value("SELECT count(*) FROM mail"):
            await asyncio.sleep(0.05)
    assert {each["to"] for each in mails.all()} == {"ada@example.com"}
    assert len(mails.all()) == 10
    for typed in (None, "", "nobody", "a@b", "a\0@b.cd"):
        answer = await forgot(gateway, typed)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


async def test_a_mailbox_is_not_flooded(start_gateway: Start) -> None:
    gateway = await start_gateway(log_in_attempts=3)
    for email in ("ada@example.com", "eve@example.com"):
        answers = [(await forgot(gateway, email)).status_code for _ in range(5)]
        assert answers == [202] * 3 + [429] * 2


async def test_two_replicas_send_each_mail_once_and_a_busy_server_delays(
    start_gateway: Start, mails: Mails
) -> None:
    mails.sink.refusals = 2
    one, _ = [await start_gateway(**mails.settings) for _ in range(2)]
    people = [await one.sign_up(f"p{number}@example.com") for number in range(6)]
    for each in people:
        await forgot(one, each.email)
    await mails.next(6)  # two of them after the first step of the ladder
    async with asyncio.timeout(WAIT_SECONDS):
        while await one.value("SELECT count(*) FROM mail"):
            await asyncio.sleep(0.05)
    assert sorted(each["to"] for each in mails.all()) == sorted(each.email for each in people)


def notice(user_id: UUID, **changes: Any) -> CreditsNotificationRequested:
    asked = CreditsNotificationRequested(
        account_id=user_id,
        user_id=user_id,
        template="credits_granted",
        parameters={"credits": "5"},
    )
    return replace(asked, **changes)


async def test_a_service_has_a_person_told_at_the_address_they_have_then(
    start_gateway: Start, mails: Mails
) -> None:
    gateway = await start_gateway()  # without a mail server: it waits
    ada = await gateway.sign_up("ada@example.com")
    await gateway.tell(notice(uuid4()), notice(ada.user_id))
    async with asyncio.timeout(WAIT_SECONDS):
        while not await gateway.value("SELECT count(*) FROM mail"):
            await asyncio.sleep(0.05)
    await gateway.run("UPDATE users SET email = 'new@example.com'")
    await start_gateway(**mails.settings)
    told = await mails.next(1)
    assert told["to"] == "new@example.com"
    assert "5 credits have come" in told["text"]
    assert f"{CLIENT}/account" in told["text"]
    async with asyncio.timeout(WAIT_SECONDS):
        while await gateway.value("SELECT count(*) FROM mail"):
            await asyncio.sleep(0.05)
    assert len(mails.all()) == 1  # there is nobody else to tell


async def test_an_event_is_one_mail_and_none_that_nobody_can_write(
    gateway: RunningGateway,
) -> None:
    ada = await gateway.sign_up()
    good = event(notice(ada.user_id), time=NOW)
    same = [OutgoingMessage(good.data.topic, good.key.encode(), encode(good))] * 2
    assert list(await gateway.bus.publish(same)) == [None, None]
    wrong: list[dict[str, Any]] = [
        {"template": "password_reset"},  # a token is for nobody who reads streams
        {"template": "shout"},
        {"parameters": {}},
        {"parameters": {"credits": "5", "link": "https://evil.example"}},
        {"parameters": {"credits": "5" * 1_000}},
    ]
    others = [(await gateway.sign_up()).user_id for _ in wrong]
    await gateway.tell(
        *(notice(each, **changes) for each, changes in zip(others, wrong, strict=True))
    )
    async with asyncio.timeout(WAIT_SECONDS):
        while await gateway.value("SELECT count(*) FROM parked") < len(wrong):
            await asyncio.sleep(0.05)
    assert await gateway.value("SELECT array_agg(DISTINCT reason) FROM parked") == [
        "unknown_notice"
    ]
    async with asyncio.timeout(WAIT_SECONDS):
        while not await gateway.value("SELECT count(*) FROM mail"):
            await asyncio.sleep(0.05)
    assert await gateway.value("SELECT array_agg(user_id) FROM mail") == [ada.user_id]


class Dying:
    """Hands mails over, and dies before anybody knows."""

    def __init__(self) -> None:
        self.sent: list[Letter] = []
        self.fault: BaseException | None = None

    async def send(self, letter: Letter) -> None:
        self.sent.append(letter)
        if self.fault is not None:
            raise self.fault


async def test_a_process_that_dies_with_a_mail_leaves_it_for_the_next(
    gateway: RunningGateway,
) -> None:
    await gateway.sign_up("ada@example.com")
    await forgot(gateway, "ada@example.com")
    post = Dying()
    mailing = Mailing(
        database=gateway.streams.database, post=post, clock=SystemClock(), client_url=CLIENT
    )
    post.fault = asyncio.CancelledError()
    with pytest.raises(asyncio.CancelledError):
        await mailing.work()
    await mailing.work()  # the lease still holds: nobody else sends it
    assert len(post.sent) == 1
    due = await mailing.next_at()
    assert due is not None
    assert due > datetime.now(UTC) + LEASE / 2
    await gateway.run("UPDATE mail SET due_at = now()")
    post.fault = None
    await mailing.work()
    assert len({letter.id for letter in post.sent}) == 1
    assert len(post.sent) == 2
    assert await gateway.value("SELECT count(*) FROM mail") == 0
    links = [letter.body.split("?token=")[1].split()[0] for letter in post.sent]
    assert (await reset(gateway, unquote(links[0]))).status_code == 200  # whichever is read


async def test_a_mail_that_is_refused_or_too_old_is_given_up_and_told(
    gateway: RunningGateway,
) -> None:
    await gateway.sign_up("ada@example.com")
    post = Dying()
    mailing = Mailing(
        database=gateway.streams.database, post=post, clock=SystemClock(), client_url=CLIENT
    )
    await forgot(gateway, "ada@example.com")
    post.fault = MailRefusedError("550 no such mailbox")
    await mailing.work()
    told = "SELECT error FROM mail WHERE failed_at IS NOT NULL"
    assert await gateway.value(told) == "550 no such mailbox"
    await gateway.run("UPDATE mail SET failed_at = now() - '8d'::interval")
    await mailing.work()
    assert await gateway.value("SELECT count(*) FROM mail") == 0
    await forgot(gateway, "ada@example.com")
    post.fault = MailDelayedError("later")
    await mailing.work()
    assert await gateway.value("SELECT failed_at FROM mail") is None
    await gateway.run("UPDATE mail SET due_at = now(), attempts = 8")
    await mailing.work()
    assert await gateway.value(told) == "later"


async def test_whoever_is_erased_gets_no_mail(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up("ada@example.com")
    await forgot(gateway, "ada@example.com")
    body = {"currentPassword": PASSWORD, "newPassword": NEW}
    await ada.post("/api/auth/change-password", body)
    await ada.log_in_again(NEW)
    assert (await ada.erase(NEW)).status_code == 204
    post = Dying()
    mailing = Mailing(
        database=gateway.streams.database, post=post, clock=SystemClock(), client_url=CLIENT
    )
    await mailing.work()
    assert post.sent == []
    assert await gateway.value("SELECT count(*) FROM mail") == 0


async def test_the_mail_servers_answers_are_told_apart(mails: Mails) -> None:
    letter = Letter(id="1", to="ada@example.com", subject="s", body="b")
    post = SmtpPost(mails.settings["smtp_url"], "DayGen <noreply@example.com>")
    await post.send(letter)
    assert mails.all()[0]["id"] == "<1@example.com>"
    mails.sink.refusals = 1
    with pytest.raises(MailDelayedError):
        await post.send(letter)
    with pytest.raises(MailRefusedError):
        await post.send(Letter(id="1", to="a@b.cd\nBcc: e@v.il", subject="s", body="b"))
    away = SmtpPost(SecretStr(NOBODY_LISTENS.replace("http", "smtp")), "noreply@example.com")
    with pytest.raises(MailDelayedError):
        await away.send(letter)
    insisting = SecretStr(f"smtp+starttls://127.0.0.1:{mails.port}")
    with pytest.raises(MailDelayedError):  # it has no encryption to offer
        await SmtpPost(insisting, "noreply@example.com").send(letter)


async def test_an_imported_users_hash_is_verified_and_replaced(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up("ada@example.com")
    long = "x" * 80
    for kind, password in ((b"2a", PASSWORD), (b"2b", PASSWORD), (b"2b", long)):
        imported = bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4, prefix=kind)).decode()
        change = "UPDATE users SET password_hash = $2 WHERE user_id = $1"
        await gateway.run(change, ada.user_id, imported)
        assert await log_in(gateway, "wrong horse") == 401
        stored = "SELECT password_hash FROM users"
        assert await gateway.value(stored) == imported
        assert await log_in(gateway, password) == 200
        assert (await gateway.value(stored)).startswith("$argon2id$")
        assert await log_in(gateway, password) == 200
    await gateway.run("UPDATE users SET password_hash = '$2b$damaged'")
    assert await log_in(gateway, PASSWORD) == 401
