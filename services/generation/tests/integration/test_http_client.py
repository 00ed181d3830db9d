"""The shared HTTP client against a server that misbehaves."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from random import Random

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from libs.runtime import guard
from libs.runtime.guard import Allowed
from libs.runtime.tracing import Traceparent, tracing
from services.generation.adapters.http import client
from services.generation.adapters.http.bodies import json_body
from services.generation.adapters.http.client import (
    Answer,
    Call,
    CallFailed,
    ProviderHttp,
    Unreadable,
)
from services.generation.adapters.http.patience import Patience

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """Answers as a test says, and counts."""

    def __init__(self) -> None:
        self.url = ""
        self.seen: list[web.Request] = []
        self.answers: list[Handler] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return await answer(request)

    def call(self, method: str = "POST", **fields: object) -> Call:
        return Call(method=method, url=f"{self.url}/x", **fields)  # type: ignore[arg-type]

    @property
    def allowed(self) -> Allowed:
        return Allowed(origin=self.url)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    app = web.Application(client_max_size=2**30)
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()


@pytest.fixture
async def http() -> AsyncIterator[ProviderHttp]:
    patience = Patience(tries=3, total_seconds=1.0, first_seconds=0.01)
    made = ProviderHttp(random=Random(1), allows_loopback=True, patience=patience)
    async with made.opened() as opened:
        yield opened


def status(code: int, headers: dict[str, str] | None = None) -> Handler:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"status": code}, status=code, headers=headers)

    return answer


async def hang_up(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


async def hang(_: web.Request) -> web.Response:
    await asyncio.sleep(5)
    return web.Response()


async def test_a_call_that_costs_is_repeated_only_if_it_was_not_taken(
    server: Server, http: ProviderHttp
) -> None:
    server.answers = [status(429), status(429), status(200)]
    assert (await http.send(server.call(body=json_body({})))).status == 200
    assert len(server.seen) == 3
    server.seen.clear()
    server.answers = [status(503), status(200)]
    assert (await http.send(server.call(body=json_body({})))).status == 503
    assert len(server.seen) == 1


async def test_a_question_is_repeated_and_gives_up(server: Server, http: ProviderHttp) -> None:
    server.answers = [status(503), hang_up, status(200)]
    assert (await http.send(server.call("GET", is_safe=True))).status == 200
    server.seen.clear()
    server.answers = [status(500)]
    assert (await http.send(server.call("GET", is_safe=True))).status == 500
    assert len(server.seen) == 3


async def test_a_rest_that_takes_too_long_is_left_to_the_queue(
    server: Server, http: ProviderHttp
) -> None:
    server.answers = [status(429, {"Retry-After": "30"})]
    answer = await http.send(server.call(body=json_body({})))
    assert (answer.status, answer.rest_seconds) == (429, 30.0)
    assert len(server.seen) == 1


async def test_a_broken_connection_after_sending_is_an_unknown_outcome(
    server: Server, http: ProviderHttp
) -> None:
    server.answers = [hang_up]
    with pytest.raises(CallFailed) as caught:
        await http.send(server.call(body=json_body({})))
    assert caught.value.is_sent
    assert len(server.seen) == 1


async def test_nobody_there_is_known_not_to_have_been_sent(http: ProviderHttp) -> None:
    with pytest.raises(CallFailed) as caught:
        await http.send(Call(method="POST", url="http://127.0.0.1:1/", body=json_body({})))
    assert not caught.value.is_sent


async def test_no_answer_in_time_is_said_so(server: Server, http: ProviderHttp) -> None:
    server.answers = [hang]
    with pytest.raises(CallFailed) as caught:
        await http.send(server.call(body=json_body({}), timeout_seconds=0.2))
    assert (caught.value.is_timeout, caught.value.is_sent) == (True, True)


async def test_an_answer_without_end_is_refused(
    server: Server, http: ProviderHttp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "ANSWER_BYTES_MAX", 1_000_000)

    async def flood(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b'"' + b"A" * 100_000)

    server.answers = [flood]
    with pytest.raises(Unreadable, match="too large"):
        await http.send(server.call(body=json_body({})))


async def test_the_trace_goes_on_and_nothing_compressed_is_asked_for(
    server: Server, http: ProviderHttp
) -> None:
    server.answers = [status(200)]
    trace = Traceparent.new(Random(2))
    with tracing(trace):
        await http.send(server.call(body=json_body({}), headers={"x-key": "k"}))
    (request,) = server.seen
    assert request.headers["traceparent"] == str(trace)
    assert request.headers["Accept-Encoding"] == "identity"
    assert request.headers["x-key"] == "k"


async def whole(http: ProviderHttp, url: str, allowed: Allowed) -> bytes:
    return b"".join([chunk async for chunk in http.download(url, allowed)])


def redirect(target: str) -> Handler:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": target})

    return answer


async def bytes_of(_: web.Request) -> web.Response:
    return web.Response(body=b"picture")


async def test_a_result_is_fetched_also_by_a_redirect_of_its_provider(
    server: Server, http: ProviderHttp
) -> None:
    server.answers = [redirect("/there"), bytes_of]
    assert await whole(http, f"{server.url}/x", server.allowed) == b"picture"


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest",
        "https://evil.example/x",
        "http://127.0.0.1:1/x",
        "file:///x",
    ],
)
async def test_a_redirect_to_elsewhere_is_refused(
    server: Server, http: ProviderHttp, target: str
) -> None:
    server.answers = [redirect(target)]
    with pytest.raises(Unreadable):
        await whole(http, f"{server.url}/x", server.allowed)
    assert len(server.seen) == 1


async def test_redirects_in_a_circle_end(server: Server, http: ProviderHttp) -> None:
    server.answers = [redirect("/again")]
    with pytest.raises(Unreadable, match="too often"):
        await whole(http, f"{server.url}/x", server.allowed)


async def test_a_result_that_is_away_for_a_moment_is_fetched(
    server: Server, http: ProviderHttp
) -> None:
    server.answers = [status(503), hang_up, bytes_of]
    assert await whole(http, f"{server.url}/x", server.allowed) == b"picture"


async def test_without_the_setting_nothing_on_this_machine_is_fetched(server: Server) -> None:
    server.answers = [bytes_of]
    async with ProviderHttp(random=Random(1)).opened() as http:
        with pytest.raises(Unreadable):
            await whole(http, f"{server.url}/x", server.allowed)
        with pytest.raises(Unreadable):
            await http.send(server.call("GET", is_safe=True), named_by=server.allowed)
    assert server.seen == []


class Elsewhere(AbstractResolver):
    """Every name leads inside, whatever it meant when somebody looked at it."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host, host="10.0.0.7", port=port, family=family, proto=0, flags=0
            )
        ]

    async def close(self) -> None:
        return None


async def test_a_providers_host_that_leads_inside_is_not_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(guard, "ThreadedResolver", Elsewhere)
    url, allowed = "https://delivery-eu1.bfl.ai/x.png", Allowed(hosts=("bfl.ai",))
    async with ProviderHttp(random=Random(1), patience=Patience(tries=1)).opened() as http:
        with pytest.raises(Unreadable, match="private address"):
            await whole(http, url, allowed)
        with pytest.raises(Unreadable, match="private address"):
            await http.send(Call(method="GET", url=url, is_safe=True), named_by=allowed)


async def test_a_final_refusal_is_not_repeated(server: Server, http: ProviderHttp) -> None:
    server.answers = [status(429)]

    def is_final(answer: Answer) -> bool:
        return bool(answer.json == {"status": 429})

    assert (await http.send(server.call(body=json_body({})), is_final=is_final)).status == 429
    assert len(server.seen) == 1
