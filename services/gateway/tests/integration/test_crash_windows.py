"""The gateway is killed, -9, around the commit of an admission; the client asks again."""

import asyncio
from contextlib import suppress
from uuid import uuid4

import httpx2
import pytest

from infra.local.cluster import LocalCluster
from libs.events.bus import KafkaBus
from libs.events.credits import CreditsDeducted
from libs.events.envelope import encode
from libs.events.generation import GenerationRequested
from libs.events.identity import DeductionRequested
from libs.events.names import Service, Topic
from libs.events.testing import event
from libs.events.transport import OutgoingMessage
from libs.runtime.testing import Streams
from libs.runtime.testing_crashes import Mortal, Mortals
from libs.runtime.testing_mortal import Point
from services.gateway.tests.integration.conftest import (
    INTERNAL_SECRET,
    JWT_SECRET,
    NOBODY_LISTENS,
)

PERSON = {"email": "ada@example.com", "password": "correct horse battery"}
BODY = {"provider": "local", "prompt": "a fox in the snow", "n": 2}
DEADLINE_SECONDS = 60.0
NEVER_ACCEPTED = {Point.APPLIED}


@pytest.fixture
def gateways(
    cluster: LocalCluster, gateway_dsn: str, topic_prefix: str, streams: Streams
) -> Mortals:
    settings = {
        "DATABASE_DSN": gateway_dsn,
        "KAFKA_BOOTSTRAP": cluster.kafka_bootstrap,
        "REPLICA": "one",
        "INTERNAL_SECRET": INTERNAL_SECRET.get_secret_value(),
        "JWT_SECRET": JWT_SECRET.get_secret_value(),
        "PUBLIC_BASE_URL": "https://daygen.test",
        "S3_ENDPOINT": cluster.s3.endpoint,
        "S3_REGION": cluster.s3.region,
        "S3_BUCKET": cluster.s3.bucket,
        "S3_ACCESS_KEY": cluster.s3.access_key,
        "S3_SECRET_KEY": cluster.s3.secret_key,
        **{f"{owner}_URL": NOBODY_LISTENS for owner in ("GENERATION", "GALLERY", "LEDGER")},
        "BILLING_URL": NOBODY_LISTENS,
    }
    environment = {f"GATEWAY_{name}": value for name, value in settings.items()}
    return Mortals("services.gateway.app:create_app", Service.GATEWAY, topic_prefix, environment)


async def until_published(streams: Streams) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while await count(streams, "outbox_pending"):
            await asyncio.sleep(0.05)


async def count(streams: Streams, table: str) -> int:
    async with streams.database.read() as connection:
        return int(await connection.fetchval(f"SELECT count(*) FROM {table}"))


async def post(gateway: Mortal, token: str, key: str) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": key}
    return await gateway.client.post("/api/jobs", json=BODY, headers=headers)


@pytest.mark.parametrize(
    ("point", "earlier"),
    [
        # The first is decided under locks, those after it take one statement, which commits itself.
        *((each, 0) for each in (Point.APPLIED, Point.COMMITTED, Point.PUBLISHED)),
        *((each, 1) for each in (Point.COMMITTED, Point.PUBLISHING)),
    ],
)
async def test_an_admission_happens_once_wherever_the_gateway_dies(
    gateways: Mortals, streams: Streams, bus: KafkaBus, point: Point, earlier: int
) -> None:
    key = uuid4().hex
    async with gateways.process(point) as gateway:
        signed_up = await gateway.client.post("/api/auth/signup", json=PERSON)
        token = signed_up.json()["accessToken"]
        for _ in range(earlier):
            assert (await post(gateway, token, uuid4().hex)).status_code == 202
        await until_published(streams)
        gateway.arm()
        with suppress(httpx2.TransportError):
            await post(gateway, token, key)
        await gateway.death()  # the relay's may come a moment after the answer
    assert await count(streams, "job") == earlier + (point not in NEVER_ACCEPTED)
    async with gateways.process() as gateway:
        answers = [await post(gateway, token, key) for _ in range(2)]
        assert [each.status_code for each in answers] == [202, 202]
        assert len({each.json()["jobId"] for each in answers}) == 1
        account = (await gateway.client.get("/api/auth/me", headers=bearer(token))).json()
        await until_published(streams)
    assert account["credits"] == 18 - 2 * earlier
    assert await count(streams, "job") == await count(streams, "hold") == 1 + earlier
    *others, asked = await streams.heard(bus, Topic.GENERATION)
    assert len(others) == earlier
    assert isinstance(asked.data, GenerationRequested)
    assert str(asked.data.job_id) == answers[0].json()["jobId"]


@pytest.mark.parametrize(
    "point", [Point.APPLIED, Point.COMMITTED, Point.PUBLISHING, Point.PUBLISHED]
)
async def test_a_deduction_happens_once_wherever_the_gateway_dies(
    gateways: Mortals, streams: Streams, bus: KafkaBus, point: Point
) -> None:
    """The order is given again under its key; the ledger's word closes its hold."""

    async def order(gateway: Mortal) -> httpx2.Response:
        headers = bearer(token) | {"Idempotency-Key": "one"}
        body = {"credits": 5, "reason": "A mistake."}
        path = f"/api/admin/accounts/{user_id}/deductions"
        return await gateway.client.post(path, json=body, headers=headers)

    async with gateways.process(point) as gateway:
        signed_up = (await gateway.client.post("/api/auth/signup", json=PERSON)).json()
        token, user_id = signed_up["accessToken"], signed_up["user"]["id"]
        async with streams.database.read() as connection:
            await connection.execute("UPDATE users SET role = 'ADMIN'")
        await until_published(streams)
        gateway.arm()
        with suppress(httpx2.TransportError):
            await order(gateway)
        await gateway.death()
    assert await count(streams, "deduction") == (0 if point in NEVER_ACCEPTED else 1)
    async with gateways.process() as gateway:
        answers = await asyncio.gather(order(gateway), order(gateway))
        assert [each.status_code for each in answers] == [202, 202]
        await until_published(streams)
        asked = [each.data for each in await streams.heard(bus, Topic.IDENTITY)]
        (requested,) = [each for each in asked if isinstance(each, DeductionRequested)]
        assert {each.json()["deductionId"] for each in answers} == {str(requested.deduction_id)}
        assert await held(streams) == 5
        told = event(deducted(requested), source=Service.LEDGER)
        message = OutgoingMessage(Topic.CREDITS, told.key.encode(), encode(told))
        await bus.publish([message, message])
        async with asyncio.timeout(DEADLINE_SECONDS):
            while await held(streams):
                await asyncio.sleep(0.05)
    assert await count(streams, "deduction") == await count(streams, "hold") == 1
    assert await count(streams, "hold WHERE closed_at IS NULL") == 0


def deducted(requested: DeductionRequested) -> CreditsDeducted:
    return CreditsDeducted(
        account_id=requested.account_id,
        account_version=2,
        settled_after=15,
        grace_after=0,
        transaction_id=uuid4(),
        deduction_id=requested.deduction_id,
        credits=requested.credits,
        lots=(),
        actor=requested.actor,
        reason=requested.reason,
    )


async def held(streams: Streams) -> int:
    async with streams.database.read() as connection:
        return int(await connection.fetchval("SELECT sum(held) FROM credit_account"))


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
