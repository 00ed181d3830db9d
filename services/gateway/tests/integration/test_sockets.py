"""The same events over one socket: channels, resuming, bad messages, and who may listen."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import uuid4

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from services.gateway.tests.integration.conftest import Person, RunningGateway, Start
from services.gateway.tests.integration.listening import WAIT_SECONDS
from services.gateway.tests.integration.test_jobs import success
from services.gateway.tests.integration.test_streams import ticket_for


@asynccontextmanager
async def socket(person: Person, gateway: RunningGateway) -> AsyncIterator[ClientConnection]:
    """A socket that is opened by a bearer."""
    url = gateway.url.replace("http", "ws") + "/api/ws"
    async with (
        asyncio.timeout(WAIT_SECONDS),
        connect(url, additional_headers=person.headers) as opened,
    ):
        yield opened


async def say(client: ClientConnection, **message: Any) -> None:
    await client.send(json.dumps(message))


async def hear(client: ClientConnection) -> dict[str, Any]:
    heard: dict[str, Any] = json.loads(await client.recv())
    return heard


async def up_to(client: ClientConnection, kind: str) -> list[dict[str, Any]]:
    """What is heard up to a message of a type, or an event of a kind."""
    heard = []
    while True:
        heard.append(message := await hear(client))
        if kind in {message["type"], message.get("event")}:
            return heard


async def closing_code(client: ClientConnection) -> int | None:
    """The code that the server closes with, whatever it says before."""
    with suppress(ConnectionClosed):
        while True:
            await client.recv()
    return client.close_code


async def test_channels_tell_what_streams_tell(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    job_id = await ada.start_job()
    async with socket(ada, gateway) as client:
        await say(client, type="subscribe", channel=f"job:{job_id}")
        await say(client, type="subscribe", channel="user")
        await up_to(client, "subscribed")
        await up_to(client, "subscribed")
        await gateway.tell(*success(await gateway.facts(job_id)))
        heard = await up_to(client, "ended")
        events = [each for each in heard if each.get("channel") == f"job:{job_id}"]
        assert [each["event"] for each in events if each["type"] == "event"][-1] == "job.completed"
        assert events[-2]["data"]["status"] == "COMPLETED"
        completed = next(each for each in heard if each.get("event") == "job.completed")
        # Behind any event, the rest comes again and nothing else.
        await say(client, type="subscribe", channel=f"job:{job_id}", lastEventId=0)
        again = [each for each in await up_to(client, "ended") if each.get("data")]
        assert again[-1]["id"] == completed["id"]
        middle = again[-2]["id"]
        await say(client, type="subscribe", channel=f"job:{job_id}", lastEventId=middle)
        rest = [each for each in await up_to(client, "ended") if each.get("data")]
        assert rest == again[-1:]
        await say(client, type="subscribe", channel=f"job:{job_id}", lastEventId=completed["id"])
        told = await up_to(client, "ended")
        assert [each["type"] for each in told if each["channel"] != "user"] == [
            "subscribed",
            "ended",
        ]


async def test_a_channel_is_resumed_on_another_replica(start_gateway: Start) -> None:
    one, two = await asyncio.gather(start_gateway(), start_gateway())
    ada = await one.sign_up()
    async with socket(ada, one) as client:
        await say(client, type="subscribe", channel="user")
        (_, snapshot) = await up_to(client, "snapshot")
    job_id = await ada.start_job()
    await one.tell(*success(await one.facts(job_id)))
    async with socket(ada, two) as client:
        await say(client, type="subscribe", channel="user", lastEventId=snapshot["id"])
        (_, *heard) = await up_to(client, "job.completed")
    first = snapshot["id"] + 1
    assert [each["id"] for each in heard] == list(range(first, first + len(heard)))


async def test_bad_messages_are_answered_and_the_socket_goes_on(gateway: RunningGateway) -> None:
    ada, bob = await gateway.sign_up(), await gateway.sign_up()
    theirs = await bob.start_job()
    mine = f"job:{await ada.start_job()}"
    sub = {"type": "subscribe"}
    refused: dict[str | bytes, str] = {
        "": "bad_message",
        "nonsense": "bad_message",
        "NaN": "bad_message",
        "[" * 900: "bad_message",
        "x" * 2_000: "bad_message",
        b"{}": "bad_message",
        "{}": "bad_message",
        '{"type": "shout"}': "bad_message",
        json.dumps(sub): "bad_message",
        json.dumps({**sub, "channel": 7}): "bad_message",
        json.dumps({**sub, "channel": "user", "lastEventId": "7"}): "bad_message",
        json.dumps({**sub, "channel": "user", "lastEventId": 10**30}): "bad_message",
        json.dumps({**sub, "channel": "everything"}): "no_such_channel",
        json.dumps({**sub, "channel": "job:"}): "job_not_found",
        json.dumps({**sub, "channel": f"job:{uuid4()}"}): "job_not_found",
        json.dumps({**sub, "channel": f"job:{theirs}"}): "job_not_found",
        json.dumps({"type": "unsubscribe", "channel": mine}): "no_such_channel",
    }
    async with socket(ada, gateway) as client:
        for message, code in refused.items():
            await client.send(message)
            answer = await hear(client)
            assert (answer["type"], answer["code"]) == ("error", code), message
            assert answer["error"] == answer["message"]
        await say(client, **sub, channel=mine)
        assert [each["type"] for each in await up_to(client, "snapshot")] == ["subscribed", "event"]
        await say(client, **sub, channel=mine)
        assert (await hear(client))["code"] == "already_subscribed"
        await say(client, type="unsubscribe", channel=mine)
        assert (await hear(client))["type"] == "unsubscribed"
        await say(client, type="ping")
        assert await hear(client) == {"type": "pong"}
        await client.send("x" * 100_000)
        assert await closing_code(client) == 1009


async def test_a_socket_has_so_many_channels(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    job = await ada.start_job()
    copies = [uuid4() for _ in range(50)]
    await gateway.run(
        """
        INSERT INTO job (job_id, account_id, user_id, operation, provider, model, prompt, options,
                         units, unit_credits, price_book_version, created_at, deadline_at,
                         tokens_estimated, metered_on)
        SELECT copy, account_id, user_id, operation, provider, model, prompt, options, units,
               unit_credits, price_book_version, created_at, deadline_at, 0, metered_on
          FROM job, unnest($2::uuid[]) AS copy WHERE job_id = $1
        """,
        job,
        copies,
    )
    async with socket(ada, gateway) as client:
        for each in copies:
            await say(client, type="subscribe", channel=f"job:{each}")
            await up_to(client, "snapshot")
        await say(client, type="subscribe", channel="user")
        assert (await hear(client))["code"] == "too_many_channels"


async def test_a_flood_of_messages_closes_the_socket(start_gateway: Start) -> None:
    gateway = await start_gateway(flood_limit_per_minute=30)
    ada, bob = await gateway.sign_up(), await gateway.sign_up()
    async with socket(ada, gateway) as client, socket(bob, gateway) as other:
        for _ in range(40):  # each asks the database for a job
            await say(client, type="subscribe", channel=f"job:{uuid4()}")
        heard = [each["code"] for each in await up_to(client, "error") if "code" in each]
        with suppress(ConnectionClosed):
            while True:
                heard.append((await hear(client))["code"])
        assert heard[0] == "job_not_found"
        assert heard[-1] == "flooded"
        assert len(heard) <= 31
        assert client.close_code == 1013
        await say(other, type="ping")
        assert await hear(other) == {"type": "pong"}
        assert (await ada.get("/api/auth/me")).status_code == 429  # it is one and the same flood


async def refusal(url: str, **headers: str) -> tuple[int, str]:
    with pytest.raises(InvalidStatus) as refused:
        async with connect(url, additional_headers=headers):
            pass
    answer = refused.value.response
    return answer.status_code, json.loads(answer.body or b"{}")["code"]


async def test_nobody_comes_in_without_a_bearer_or_a_ticket_for_the_socket(
    start_gateway: Start,
) -> None:
    gateway = await start_gateway(streams_per_user=1)
    ada = await gateway.sign_up()
    url = gateway.url.replace("http", "ws") + "/api/ws"
    assert await refusal(url) == (401, "unauthorized")
    assert await refusal(url, Authorization="Bearer nonsense") == (401, "unauthorized")
    other = await ticket_for(ada, "/api/events")
    assert await refusal(f"{url}?ticket={other}") == (401, "bad_ticket")
    ticket = await ticket_for(ada, "/api/ws")
    for _ in range(2):
        async with await when_there_is_a_place(f"{url}?ticket={ticket}") as client:
            await say(client, type="ping")
            assert await hear(client) == {"type": "pong"}
            assert await refusal(url, **ada.headers) == (429, "too_many_streams")


async def when_there_is_a_place(url: str) -> ClientConnection:
    """The server learns in its own time that a client has left."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            with suppress(InvalidStatus):
                return await connect(url)
            await asyncio.sleep(0.05)


@pytest.mark.usefixtures("no_slow_look")
async def test_a_revoked_log_in_closes_its_socket(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    async with socket(ada, gateway) as client:
        await say(client, type="subscribe", channel="user")
        await up_to(client, "snapshot")
        assert (await ada.post("/api/auth/signout-everywhere", {})).status_code < 300
        assert await closing_code(client) == 1008


async def test_no_ticket_stands_in_the_log(
    capsys: pytest.CaptureFixture[str], gateway: RunningGateway
) -> None:
    ada = await gateway.sign_up()
    ticket = await ticket_for(ada, "/api/ws")
    async with connect(f"{gateway.url.replace('http', 'ws')}/api/ws?ticket={ticket}") as client:
        await say(client, type="ping")
        await hear(client)
    await refusal(f"{gateway.url.replace('http', 'ws')}/api/ws?ticket=x{ticket}")
    said = capsys.readouterr()
    assert ada.user_id.hex[:8] in (said.out + said.err).replace("-", "")  # it is this log
    assert ticket not in said.out + said.err
