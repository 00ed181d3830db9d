"""Outgoing webhooks: told, signed, tried again, by one process at a time, and never inside."""

import asyncio
import base64
import hashlib
import hmac
import json
import re
import socket
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import uuid4

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from fastapi import FastAPI, Request, Response
from msgspec import Struct, field

from libs.events.generation import FailureCode
from libs.runtime.clock import SystemClock
from libs.runtime.testing_http import serving
from services.gateway.adapters.webhooks import HttpWebhooks
from services.gateway.domain.webhooks import DISABLED_AFTER, LADDER, Outcome
from services.gateway.handlers.deliveries import LEASE, Deliveries
from services.gateway.ports import Call, ForbiddenWebhookError, Webhooks
from services.gateway.tests.integration.conftest import Person, RunningGateway, Start
from services.gateway.tests.integration.test_jobs import failure, job_in, success

WAIT_SECONDS = 60.0
FAILED = Outcome(status=500, error="it answers 500", latency_ms=1)
ARRIVED = Outcome(status=204, error=None, latency_ms=1)


def timeless(text: str) -> str:
    """Addresses of pictures without what lets one in there for a while."""
    return re.sub(r"[?]expires=[^\"]*", "", text)


class Received(Struct):
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def said(self) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(timeless(self.body.decode()))
        return said

    def is_signed_by(self, secret: str) -> bool:
        message = b"%s.%s.%s" % (
            self.headers["webhook-id"].encode(),
            self.headers["webhook-timestamp"].encode(),
            self.body,
        )
        key = base64.b64decode(secret.removeprefix("whsec_"))
        wanted = base64.b64encode(hmac.digest(key, message, hashlib.sha256)).decode()
        return f"v1,{wanted}" in self.headers["webhook-signature"].split(" ")


class Receiver(Struct):
    """Another program, and what it was told."""

    url: str = ""
    heard: list[Received] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def hear(self, request: Request) -> Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.heard.append(Received(request.url.path, headers, await request.body()))
        self.changed.set()
        status, headers = self.answers.pop(0) if self.answers else (204, {})
        return Response(status_code=status, headers=headers)

    async def so_many(self, count: int) -> list[Received]:
        async with asyncio.timeout(WAIT_SECONDS):
            while len(self.heard) < count:
                self.changed.clear()
                await self.changed.wait()
        return self.heard


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    served = Receiver()
    app = FastAPI()
    app.add_api_route("/{path:path}", served.hear, methods=["GET", "POST"])
    async with serving(app) as served.url:
        yield served


async def register(person: Person, **body: Any) -> dict[str, Any]:
    answer = await person.post("/api/webhooks", body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def deliveries(person: Person, webhook_id: str) -> list[dict[str, Any]]:
    answer = await person.get(f"/api/webhooks/{webhook_id}/deliveries")
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


async def delivered(person: Person, webhook_id: str, attempts: int) -> dict[str, Any]:
    """The only delivery once it was tried so often."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            listed = await deliveries(person, webhook_id)
            if listed and len(listed[0]["attempts"]) >= attempts:
                return listed[0]
            await asyncio.sleep(0.05)


async def test_a_jobs_end_is_told_where_the_order_and_the_person_say(
    start_gateway: Start, receiver: Receiver
) -> None:
    gateway = await start_gateway(loopback_webhooks=True)
    ada, bob = await gateway.sign_up(), await gateway.sign_up()
    mine = await register(ada, url=f"{receiver.url}/mine", events=["job.completed"])
    await register(bob, url=f"{receiver.url}/bobs")
    orders = await register(ada)
    job_id = await ada.start_job(webhookUrl=f"{receiver.url}/of-the-job")
    other = await ada.start_job()
    await gateway.tell(*success(await gateway.facts(job_id)))
    await job_in(ada, job_id, "COMPLETED")
    await gateway.tell(*failure(await gateway.facts(other), FailureCode.SERVER, version=3))
    await job_in(ada, other, "FAILED")
    async with asyncio.timeout(WAIT_SECONDS):
        while {each.path for each in receiver.heard} < {"/mine", "/of-the-job"} or not [
            each for each in receiver.heard if each.said["event"] == "job.completed"
        ][1:]:
            await asyncio.sleep(0.05)
    told = {each.path: each for each in receiver.heard if each.said["event"] == "job.completed"}
    assert set(told) == {"/mine", "/of-the-job"}
    for path, secret in (("/mine", mine["secret"]), ("/of-the-job", orders["secret"])):
        said = told[path].said
        assert (said["status"], said["progress"]) == ("COMPLETED", 100)
        assert said["resultUrl"].startswith("https://daygen.test/assets/")
        shown = json.loads(timeless((await ada.get(f"/api/jobs/{job_id}")).text))
        assert said == {"event": "job.completed", "timestamp": said["timestamp"], **shown}
        assert told[path].is_signed_by(secret)
        assert told[path].headers["content-type"] == "application/json"
    assert told["/mine"].headers["webhook-id"] != told["/of-the-job"].headers["webhook-id"]
    assert {each.path for each in receiver.heard if each.said["jobId"] == str(other)} == set()
    log = await delivered(ada, mine["id"], 1)
    assert (log["event"], log["jobId"], log["dueAt"]) == ("job.completed", str(job_id), None)
    assert log["attempts"][0]["status"] == 204
    assert (await bob.get(f"/api/webhooks/{mine['id']}/deliveries")).status_code == 404
    published = b"".join([encoded for _, encoded in await gateway.streams.published()])
    assert b"of-the-job" not in published


async def test_a_rotated_secret_and_the_last_one_both_sign(
    start_gateway: Start, receiver: Receiver
) -> None:
    gateway = await start_gateway(loopback_webhooks=True)
    ada = await gateway.sign_up()
    made = await register(ada, url=receiver.url, events=["job.completed"])
    answer = await ada.post(f"/api/webhooks/{made['id']}/rotate", {})
    new = answer.json()["secret"]
    assert new != made["secret"]
    await gateway.tell(*success(await gateway.facts(await ada.start_job())))
    (first,) = await receiver.so_many(1)
    assert first.is_signed_by(new)
    assert first.is_signed_by(made["secret"])
    await ada.post(f"/api/webhooks/{made['id']}/rotate", {"overlapSeconds": 0})
    log = await delivered(ada, made["id"], 1)
    replay = f"/api/webhooks/{made['id']}/deliveries/{log['id']}/replay"
    assert (await ada.post(replay, {})).status_code == 202
    second = (await receiver.so_many(2))[1]
    assert second.headers["webhook-id"] == first.headers["webhook-id"] == log["id"]
    assert second.said == first.said
    assert not second.is_signed_by(new)
    assert not second.is_signed_by(made["secret"])
    shown = (await ada.get("/api/webhooks")).json()["items"]
    assert "secret" not in shown[0]


async def test_replicas_tell_each_thing_once_and_at_its_commit(
    start_gateway: Start, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.gateway.app.live.WEBHOOK_HORIZON_SECONDS", 3_600.0)
    one, _ = [await start_gateway(loopback_webhooks=True, rate_limit_per_minute=1_000)
              for _ in range(2)]  # fmt: skip
    ada = await one.sign_up()
    made = await register(ada, url=receiver.url, events=["job.completed"])
    jobs = [await ada.start_job() for _ in range(12)]
    for number, job_id in enumerate(jobs):
        facts = await one.facts(job_id)
        await one.tell(*success(facts, version=number + 2, settled=19 - number))
    await receiver.so_many(len(jobs))
    async with asyncio.timeout(WAIT_SECONDS):
        while await one.value("SELECT count(*) FROM webhook_delivery WHERE due_at IS NOT NULL"):
            await asyncio.sleep(0.05)
    assert sorted(each.said["jobId"] for each in receiver.heard) == sorted(map(str, jobs))
    assert len(await deliveries(ada, made["id"])) == len(jobs)


async def test_what_is_not_taken_is_tried_again_and_redirects_are_not_followed(
    start_gateway: Start, receiver: Receiver
) -> None:
    gateway = await start_gateway(loopback_webhooks=True)
    ada = await gateway.sign_up()
    made = await register(ada, url=f"{receiver.url}/hook", events=["job.completed"])
    receiver.answers = [(302, {"Location": f"{receiver.url}/elsewhere"})]
    await gateway.tell(*success(await gateway.facts(await ada.start_job())))
    log = await delivered(ada, made["id"], 1)
    assert log["attempts"][0]["error"] == "it answers 302, and redirects are not followed"
    assert log["deliveredAt"] is None
    told_at = datetime.fromisoformat(log["attempts"][0]["at"])
    assert timedelta() < datetime.fromisoformat(log["dueAt"]) - told_at <= LADDER[0] * 1.2
    log = await delivered(ada, made["id"], 2)  # after the first step of the ladder
    assert (log["attempts"][1]["status"], log["dueAt"]) == (204, None)
    assert {each.path for each in receiver.heard} == {"/hook"}
    assert len({each.headers["webhook-id"] for each in receiver.heard}) == 1


# --- What becomes of a delivery when things die, by a clock of the test's own ---


class Later(SystemClock):
    """A clock that is ahead: what is due only there, no gateway of the test takes."""

    def __init__(self) -> None:
        self.ahead = timedelta(days=100)

    def now(self) -> datetime:
        return super().now() + self.ahead


class Caller(Webhooks):
    """Calls nobody, and says how it went."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.outcome: Outcome | BaseException = ARRIVED
        self.is_held = asyncio.Event()
        self.is_held.set()

    async def check(self, url: str) -> None:
        pass

    async def send(self, call: Call) -> Outcome:
        self.calls.append(call)
        outcome = self.outcome
        await self.is_held.wait()
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


class Scene(Struct):
    """One thing that is to be told, in a time when only the test looks."""

    gateway: RunningGateway
    ada: Person
    webhook_id: str
    clock: Later
    caller: Caller

    def process(self, caller: Webhooks | None = None) -> Deliveries:
        return Deliveries(
            database=self.gateway.streams.database,
            webhooks=caller or self.caller,
            shown=lambda job, state: {"jobId": job.job_id, "status": state.status},
            clock=self.clock,
            random=Random(1),
        )

    async def work(self, process: Deliveries | None = None) -> None:
        working = process or self.process()
        await working.work()
        await working.finish()

    async def value(self, column: str) -> Any:
        return await self.gateway.value(f"SELECT {column} FROM webhook_delivery")


@pytest.fixture
async def scene(gateway: RunningGateway) -> Scene:
    ada = await gateway.sign_up()
    job_id = await ada.start_job()
    webhook_id = uuid4()
    clock = Later()
    await gateway.run(
        """
        INSERT INTO webhook_endpoint (endpoint_id, user_id, url, events, scheme, secret, created_at)
        VALUES ($1, $2, 'https://x.example/', '{job.completed}', 'hmac', 's', now())
        """,
        webhook_id,
        ada.user_id,
    )
    await gateway.run(
        """
        INSERT INTO webhook_delivery (delivery_id, endpoint_id, url, event, job_id, state, told_at,
                                      due_at)
        VALUES ($1, $2, 'https://x.example/', 'job.completed', $3, '{}', now(), $4)
        """,
        uuid4(),
        webhook_id,
        job_id,
        clock.now(),
    )
    return Scene(gateway, ada, str(webhook_id), clock, Caller())


async def test_a_process_that_dies_with_a_call_leaves_it_for_the_next_under_the_same_id(
    scene: Scene,
) -> None:
    scene.caller.outcome = asyncio.CancelledError()  # between sending and writing down
    await scene.work()
    await scene.work()  # the lease still holds: nobody else sends it
    assert len(scene.caller.calls) == 1
    due = await scene.process().next_at()
    assert due is not None
    assert due > scene.clock.now() + LEASE / 2
    scene.clock.ahead += LEASE
    scene.caller.outcome = ARRIVED
    await scene.work()
    first, second = scene.caller.calls
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    assert await scene.value("due_at") is None
    await scene.work()
    assert len(scene.caller.calls) == 2


async def test_two_processes_never_send_the_same_at_once(scene: Scene) -> None:
    scene.caller.is_held.clear()
    one, two = scene.process(), scene.process()
    await asyncio.gather(*(each.work() for each in (one, two, one, two)))
    await asyncio.sleep(0)
    replay = f"/api/webhooks/{scene.webhook_id}/deliveries/{await scene.value('delivery_id')}"
    answer = await scene.ada.post(f"{replay}/replay", {})  # nor by hand
    assert (answer.status_code, answer.json()["code"]) == (409, "delivery_under_way")
    scene.caller.is_held.set()
    await asyncio.gather(one.finish(), two.finish())
    assert len(scene.caller.calls) == 1


async def test_who_took_longer_than_its_lease_does_not_settle(scene: Scene) -> None:
    slow = Caller()
    slow.outcome = FAILED
    slow.is_held.clear()
    process = scene.process(slow)
    await process.work()
    await asyncio.sleep(0)
    scene.clock.ahead += LEASE
    await scene.work()  # another one takes over, and it arrives
    slow.is_held.set()
    await process.finish()
    assert (await scene.value("due_at"), await scene.value("attempts")) == (None, 2)
    (log,) = await deliveries(scene.ada, scene.webhook_id)
    assert [each["number"] for each in log["attempts"]] == [2]


async def test_the_ladder_ends_and_a_replay_begins_it_anew(scene: Scene) -> None:
    scene.caller.outcome = FAILED
    for step in range(len(LADDER) + 1):
        await scene.work()
        assert await scene.value("attempts") == step + 1
        due_at = await scene.value("due_at")
        if step < len(LADDER):
            scene.clock.ahead += due_at - scene.clock.now()
    (log,) = await deliveries(scene.ada, scene.webhook_id)
    assert (log["dueAt"], len(log["attempts"])) == (None, len(LADDER) + 1)
    replay = f"/api/webhooks/{scene.webhook_id}/deliveries/{log['id']}/replay"
    assert (await scene.ada.post(replay, {})).status_code in {202, 409}


async def test_an_endpoint_that_fails_for_days_is_disabled_until_it_is_enabled(
    scene: Scene,
) -> None:
    scene.caller.outcome = FAILED
    await scene.work()
    since = await scene.gateway.value("SELECT failing_since FROM webhook_endpoint")
    assert since is not None
    scene.clock.ahead += DISABLED_AFTER
    await scene.work()
    shown = (await scene.ada.get("/api/webhooks")).json()["items"][0]
    assert shown["disabledAt"] is not None
    assert await scene.value("due_at") is None
    job_id = await scene.ada.start_job()
    await scene.gateway.tell(*success(await scene.gateway.facts(job_id)))
    await job_in(scene.ada, job_id, "COMPLETED")
    assert await scene.value("count(*)") == 1  # nothing more is queued
    path = f"/api/webhooks/{scene.webhook_id}"
    headers = scene.ada.headers
    answer = await scene.gateway.client.patch(path, json={"enabled": True}, headers=headers)
    assert (answer.json()["disabledAt"], answer.json()["failingSince"]) == (None, None)


async def test_who_is_gone_is_told_nothing_more(scene: Scene) -> None:
    scene.caller.outcome = Outcome(status=410, error="it answers 410", latency_ms=1)
    await scene.work()
    assert await scene.value("due_at") is None
    assert await scene.gateway.value("SELECT disabled_at FROM webhook_endpoint") is not None


async def test_an_arrival_ends_a_failure(scene: Scene) -> None:
    scene.caller.outcome = FAILED
    await scene.work()
    scene.caller.outcome = ARRIVED
    scene.clock.ahead += timedelta(hours=1)
    await scene.work()
    assert await scene.gateway.value("SELECT failing_since FROM webhook_endpoint") is None


async def test_whoever_is_erased_is_told_nothing(scene: Scene) -> None:
    await scene.gateway.run("UPDATE job SET webhook_url = 'https://x.example/'")
    assert (await scene.ada.erase()).status_code == 204
    await scene.work()
    assert scene.caller.calls == []
    for table in ("webhook_endpoint", "webhook_delivery"):
        assert await scene.gateway.value(f"SELECT count(*) FROM {table}") == 0
    assert await scene.gateway.value("SELECT webhook_url FROM job") is None


# --- Addresses that lead inside ---

HOSTILE = (
    "", " ", "nonsense", "//x", "https://", "https://[", "ftp://example.com/", "file:///etc/passwd",
    "gopher://127.0.0.1/", "javascript:alert(1)", "https://user:password@93.184.216.34/",
    "https://127.0.0.1/", "https://localhost/", "https://10.0.0.1/", "https://172.16.0.1/",
    "https://192.168.0.1/", "https://100.64.0.1/", "https://0.0.0.0/", "https://224.0.0.1/",
    "https://255.255.255.255/", "https://169.254.169.254/latest/meta-data/",
    "https://[fd00:ec2::254]/", "https://metadata.google.internal/", "https://[::1]/",
    "https://[::]/", "https://[fe80::1]/", "https://[fc00::1]/", "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/", "https://[64:ff9b::7f00:1]/", "https://[2002:7f00:1::]/",
    "https://2130706433/", "https://0x7f000001/", "https://0177.0.0.1/", "https://127.1/",
    "https://1/", "https://\uff11\uff12\uff17.0.0.1/", "https://no-such-name.invalid/",
    "http://93.184.216.34/", "https://93.184.216.34/#part", "https://93.184.216.34:99999/",
    "https://x\0y/", "https://93.184.216.34/" + "x" * 3_000,
)  # fmt: skip


async def test_addresses_that_lead_inside_are_refused_and_nothing_is_kept(
    gateway: RunningGateway,
) -> None:
    ada = await gateway.sign_up()
    for url in HOSTILE:
        answer = await ada.post("/api/webhooks", {"url": url})
        assert (answer.status_code, answer.json()["code"]) == (400, "webhook_url_refused"), url
        assert answer.json()["error"] == answer.json()["message"]
        body = {"provider": "local", "prompt": "a fox", "webhookUrl": url}
        answer = await ada.post("/api/jobs", body)
        assert (answer.status_code, answer.json()["code"]) == (400, "webhook_url_refused"), url
    for table in ("webhook_endpoint", "job"):
        assert await gateway.value(f"SELECT count(*) FROM {table}") == 0
    made = await register(ada)
    path = f"/api/webhooks/{made['id']}"
    answer = await gateway.client.patch(path, json={"url": HOSTILE[11]}, headers=ada.headers)
    assert answer.status_code == 400


class Rebinding(AbstractResolver):
    """A name that is somewhere else whenever it is asked for."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = list(addresses)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        address = self._addresses.pop(0)
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
        ]

    async def close(self) -> None:
        pass


async def test_a_name_is_resolved_once_for_each_call_and_checked_there(receiver: Receiver) -> None:
    port = receiver.url.rpartition(":")[2]
    url = f"https://rebound.example:{port}/"
    webhooks = HttpWebhooks(
        allows_loopback=False, resolver=Rebinding("93.184.216.34", "127.0.0.1", "127.0.0.1")
    )
    await webhooks.check(url)  # it is outside when it is registered
    async with webhooks.opened():
        outcome = await webhooks.send(Call(url=url, headers={}, body=b"{}"))
    assert (outcome.status, outcome.error) == (None, "it does not lead to the public internet")
    with pytest.raises(ForbiddenWebhookError):
        await webhooks.check(url)
    assert receiver.heard == []


@pytest.mark.parametrize("url", [each for each in HOSTILE if len(each) < 1_000])
async def test_what_has_come_into_the_table_is_refused_again_at_sending(url: str) -> None:
    webhooks = HttpWebhooks(allows_loopback=False)
    async with webhooks.opened():
        outcome = await webhooks.send(Call(url=url, headers={}, body=b"{}"))
    assert outcome.status is None
    assert outcome.error


async def test_who_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.adapters.webhooks.TOTAL_SECONDS", 0.2)
    webhooks = HttpWebhooks(allows_loopback=True)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        async with webhooks.opened():
            call = Call(url=f"http://127.0.0.1:{port}/", headers={}, body=b"{}")
            outcome = await webhooks.send(call)
    assert (outcome.status, outcome.error) == (None, "no answer within 0.2 s")
