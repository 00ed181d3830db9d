"""The gateway on real parts, and what its neighbours would say to it."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from msgspec import Struct
from pydantic import SecretStr

from infra.local.cluster import LocalCluster
from libs.events.bus import KafkaBus
from libs.events.envelope import encode
from libs.events.generation import GenerationRequested, RequestFacts
from libs.events.names import Service
from libs.events.payload import Payload
from libs.events.registry import REGISTRY
from libs.events.testing import NOW, event
from libs.events.transport import OutgoingMessage
from libs.runtime.auth import UserTokens
from libs.runtime.clock import SystemClock
from libs.runtime.objects_s3 import S3ObjectStore, S3Options
from libs.runtime.telemetry import configure_logging
from libs.runtime.testing import Streams, open_streams
from libs.runtime.testing_http import reached
from services.gateway.app import MIGRATIONS, create_app
from services.gateway.settings import Settings

INTERNAL_SECRET = SecretStr("between the gateway and the owners: 32 bytes")
JWT_SECRET = SecretStr("between the gateway and its browsers: 32 bytes")
PASSWORD = "correct horse"
ORIGIN = "http://localhost:5173"
NOBODY_LISTENS = "http://127.0.0.1:9"


class Person(Struct):
    """A signed-up user, with the client that speaks for them."""

    user_id: UUID
    token: str
    client: httpx2.AsyncClient
    email: str = ""

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    async def get(self, path: str, **headers: str) -> httpx2.Response:
        return await self.client.get(path, headers={**self.headers, **headers})

    async def post(self, path: str, body: Any, **headers: str) -> httpx2.Response:
        """`body` as JSON in plain ASCII: so it may also be text that no encoding can say."""
        headers = {**self.headers, "Content-Type": "application/json", **headers}
        return await self.client.post(path, content=json.dumps(body), headers=headers)

    async def send(
        self, path: str, files: Any, data: dict[str, Any] | None = None, **headers: str
    ) -> httpx2.Response:
        """A form with files."""
        return await self.client.post(
            path, files=files, data=data, headers={**self.headers, **headers}
        )

    async def put(self, path: str, body: Any) -> httpx2.Response:
        return await self.client.put(path, json=body, headers=self.headers)

    async def delete(self, path: str) -> httpx2.Response:
        return await self.client.delete(path, headers=self.headers)

    async def erase(self, password: str = PASSWORD) -> httpx2.Response:
        body = {"password": password}
        return await self.client.request("DELETE", "/api/users/me", json=body, headers=self.headers)

    async def log_in_again(self, password: str = PASSWORD) -> None:
        answer = await self.client.post(
            "/api/auth/login", json={"email": self.email, "password": password}
        )
        assert answer.status_code == 200, answer.text
        self.token = answer.json()["accessToken"]

    async def credits(self) -> int:
        return int((await self.get("/api/auth/me")).json()["credits"])

    async def start_job(self, **body: Any) -> UUID:
        answer = await self.post(
            "/api/jobs", {"provider": "local", "prompt": "a fox in the snow", **body}
        )
        assert answer.status_code == 202, answer.text
        return UUID(answer.json()["jobId"])


class RunningGateway(Struct):
    """The gateway as clients and neighbours see it."""

    url: str
    client: httpx2.AsyncClient
    bus: KafkaBus
    streams: Streams
    tokens: UserTokens
    objects: S3ObjectStore

    async def sign_up(self, email: str | None = None) -> Person:
        email = email or f"{uuid4().hex}@example.com"
        body = {"email": email, "password": PASSWORD}
        answer = await self.client.post("/api/auth/signup", json=body)
        assert answer.status_code == 201, answer.text
        session = answer.json()
        return Person(UUID(session["user"]["id"]), session["accessToken"], self.client, email)

    async def admin(self) -> Person:
        person = await self.sign_up()
        await self.run("UPDATE users SET role = 'ADMIN' WHERE user_id = $1", person.user_id)
        return person

    async def tell(self, *payloads: Payload, at: datetime = NOW) -> None:
        """What other services publish, each on its own topic."""
        told = [event(data, time=at) for data in payloads]
        messages = [
            OutgoingMessage(each.data.topic, each.key.encode(), encode(each)) for each in told
        ]
        assert list(await self.bus.publish(messages)) == [None] * len(messages)

    async def published(self) -> list[Payload]:
        return [
            REGISTRY.decode(encoded).data
            for event_id, encoded in await self.streams.published()
            if event_id
        ]

    async def facts(self, job_id: UUID) -> RequestFacts:
        """What generation was asked to do."""
        return next(
            data.request
            for data in await self.published()
            if isinstance(data, GenerationRequested) and data.job_id == job_id
        )

    async def stored(self, key: str) -> bytes:
        """An object, whole."""
        async with self.objects.open(key) as body:
            return await body.read()

    async def value(self, query: str, *arguments: Any) -> Any:
        async with self.streams.database.read() as connection:
            return await connection.fetchval(query, *arguments)

    async def run(self, query: str, *arguments: Any) -> None:
        async with self.streams.database.read() as connection:
            await connection.execute(query, *arguments)


@pytest.fixture
def gateway_dsn(cluster: LocalCluster, database_name: str) -> str:
    return cluster.postgres_dsn(Service.GATEWAY, database_name)


@pytest.fixture
async def streams(gateway_dsn: str) -> AsyncIterator[Streams]:
    """The gateway's tables, under its own role."""
    async with open_streams(gateway_dsn, Service.GATEWAY, [MIGRATIONS]) as opened:
        yield opened


Start = Callable[..., Awaitable[RunningGateway]]


@pytest.fixture
async def start_gateway(
    cluster: LocalCluster, gateway_dsn: str, topic_prefix: str, streams: Streams
) -> AsyncIterator[Start]:
    """Starts gateways on one database and one set of topics; settings can be given."""
    async with AsyncExitStack() as stack:

        async def start(**changes: Any) -> RunningGateway:
            running = _gateway(cluster, gateway_dsn, topic_prefix, streams, changes)
            return await stack.enter_async_context(running)

        yield start


@pytest.fixture
def no_slow_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams look at nothing by themselves: what they tell, they were woken for."""
    monkeypatch.setattr("services.gateway.handlers.streams.SAFETY_SECONDS", 600.0)


@pytest.fixture
async def gateway(start_gateway: Start) -> RunningGateway:
    """The whole service, behind HTTP, on real Kafka and Postgres."""
    return await start_gateway()


@asynccontextmanager
async def _gateway(
    cluster: LocalCluster, dsn: str, prefix: str, streams: Streams, changes: dict[str, Any]
) -> AsyncIterator[RunningGateway]:
    # Unconfigured, the library draws every local variable of every frame of an exception.
    configure_logging(Service.GATEWAY.value, "INFO")
    settings = Settings(
        **{
            "database_dsn": SecretStr(dsn),
            "database_pool_size": 8,
            "kafka_bootstrap": cluster.kafka_bootstrap,
            "internal_secret": INTERNAL_SECRET,
            "jwt_secret": JWT_SECRET,
            "public_base_url": "https://daygen.test",
            "cors_origins": (ORIGIN,),
            "generation_url": NOBODY_LISTENS,
            "gallery_url": NOBODY_LISTENS,
            "ledger_url": NOBODY_LISTENS,
            "billing_url": NOBODY_LISTENS,
            "s3_endpoint": cluster.s3.endpoint,
            "s3_region": cluster.s3.region,
            "s3_bucket": cluster.s3.bucket,
            "s3_access_key": SecretStr(cluster.s3.access_key),
            "s3_secret_key": SecretStr(cluster.s3.secret_key),
            **changes,
        }
    )
    create = partial(create_app, settings)
    async with (
        S3ObjectStore.connect(S3Options.of(settings)) as objects,
        reached(create, Service.GATEWAY, cluster.kafka_bootstrap, prefix=prefix) as at,
    ):
        yield RunningGateway(
            url=at.url,
            client=at.client,
            bus=at.bus,
            streams=streams,
            tokens=UserTokens(JWT_SECRET, SystemClock()),
            objects=objects,
        )
