"""Billing on real parts: its tables alone, or the whole service."""

from collections.abc import AsyncIterator
from functools import partial

import httpx2
import pytest
from msgspec import Struct
from pydantic import SecretStr

from infra.local.cluster import LocalCluster
from libs.events.bus import KafkaBus
from libs.events.envelope import Event, encode
from libs.events.names import Service, Topic
from libs.events.payload import Payload
from libs.events.testing import key_of
from libs.events.transport import OutgoingMessage
from libs.runtime.auth import InternalTokens, Principal
from libs.runtime.clock import SystemClock
from libs.runtime.testing import Streams, open_streams
from libs.runtime.testing_http import reached
from services.billing.app import MIGRATIONS, create_app
from services.billing.settings import Settings

SECRET = SecretStr("between the gateway and billing: 32 bytes")


@pytest.fixture
def billing_dsn(cluster: LocalCluster, database_name: str) -> str:
    return cluster.postgres_dsn(Service.BILLING, database_name)


@pytest.fixture
async def streams(billing_dsn: str) -> AsyncIterator[Streams]:
    """Billing's tables, under its own role."""
    async with open_streams(billing_dsn, Service.BILLING, [MIGRATIONS]) as opened:
        yield opened


class RunningBilling(Struct):
    """The service as its neighbours see it: its address, and the topics it reads and writes."""

    url: str
    client: httpx2.AsyncClient
    bus: KafkaBus
    streams: Streams
    tokens: InternalTokens

    async def tell(self, *events: Event[Payload]) -> None:
        await self.send(*map(encode, events))

    async def send(self, *messages: bytes) -> None:
        """Raw messages of the generation topic, each account on one partition and so in order."""
        outcomes = await self.bus.publish(
            [OutgoingMessage(Topic.GENERATION, key_of(message), message) for message in messages]
        )
        assert list(outcomes) == [None] * len(messages)

    async def get(
        self, path: str, principal: Principal, audience: Service = Service.BILLING
    ) -> httpx2.Response:
        token = self.tokens.issue(principal, audience)
        return await self.client.get(path, headers={"Authorization": f"Bearer {token}"})


@pytest.fixture
async def billing(
    cluster: LocalCluster, billing_dsn: str, topic_prefix: str, streams: Streams
) -> AsyncIterator[RunningBilling]:
    """The whole service, behind HTTP, on real Kafka and Postgres."""
    settings = Settings(
        database_dsn=SecretStr(billing_dsn),
        database_pool_size=5,
        kafka_bootstrap=cluster.kafka_bootstrap,
        internal_secret=SECRET,
    )
    create = partial(create_app, settings)
    async with reached(create, Service.BILLING, cluster.kafka_bootstrap, prefix=topic_prefix) as at:
        yield RunningBilling(
            url=at.url,
            client=at.client,
            bus=at.bus,
            streams=streams,
            tokens=InternalTokens(SECRET, SystemClock()),
        )
