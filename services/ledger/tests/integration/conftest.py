"""The ledger on real parts: its books alone, or the whole service."""

import json
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import httpx2
import pytest
from msgspec import Struct
from pydantic import SecretStr

from infra.local.cluster import LocalCluster
from libs.events.bus import KafkaBus
from libs.events.credits import CreditsEvent
from libs.events.envelope import Event, encode
from libs.events.names import Service, Topic
from libs.events.operations import LogSealed
from libs.events.payload import Payload
from libs.events.registry import REGISTRY
from libs.events.testing import event as event_of
from libs.events.testing import key_of
from libs.events.transport import OutgoingMessage
from libs.runtime.auth import InternalTokens, Principal, Role
from libs.runtime.clock import SystemClock
from libs.runtime.testing import Streams, open_streams
from libs.runtime.testing_http import reached
from services.ledger.app import MIGRATIONS, create_app
from services.ledger.consumers import create_handler
from services.ledger.settings import Settings
from services.ledger.tests.builders import ADMIN

SECRET = SecretStr("between the gateway and the ledger: 32 bytes")


@pytest.fixture
def ledger_dsn(cluster: LocalCluster, database_name: str) -> str:
    return cluster.postgres_dsn(Service.LEDGER, database_name)


@pytest.fixture
async def streams(ledger_dsn: str) -> AsyncIterator[Streams]:
    """The ledger's tables, under its own role."""
    async with open_streams(ledger_dsn, Service.LEDGER, [MIGRATIONS]) as opened:
        yield opened


class Ledger(Struct):
    """The books, booked into batch by batch as the consumer does."""

    streams: Streams

    async def book(self, *data: Payload) -> None:
        """One batch, its events under fresh ids."""
        await self.book_events([event_of(each) for each in data])

    async def book_events(self, events: Sequence[Event[Payload]]) -> None:
        handler = create_handler(self.streams.clock, self.streams.ids)
        async with self.streams.database.transaction() as transaction:
            await handler(transaction, events)

    async def published(self) -> list[Event[Payload]]:
        """The events so far, in order, without the seals of a log that is a pace behind."""
        rows = await self.streams.published()
        events = [REGISTRY.decode(encoded) for event_id, encoded in rows if event_id]
        return [each for each in events if not isinstance(each.data, LogSealed)]

    async def told(self) -> list[CreditsEvent]:
        """Their data."""
        events = await self.published()
        return [each.data for each in events if isinstance(each.data, CreditsEvent)]

    async def count(self, table: str) -> int:
        async with self.streams.database.read() as connection:
            return int(await connection.fetchval(f'SELECT count(*) FROM "{table}"'))


@pytest.fixture
def ledger(streams: Streams) -> Ledger:
    return Ledger(streams)


class SetClock(SystemClock):
    """Says the time that it was set to."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at


class RunningLedger(Struct):
    """The service as its neighbours see it: its address, and the topics it reads and writes."""

    client: httpx2.AsyncClient
    bus: KafkaBus
    books: Ledger
    tokens: InternalTokens

    async def tell(self, topic: Topic, *data: Payload) -> None:
        """Events each account on one partition, and so in order."""
        await self.send(topic, *(encode(event_of(each)) for each in data))

    async def send(self, topic: Topic, *messages: bytes) -> None:
        outcomes = await self.bus.publish(
            [OutgoingMessage(topic, key_of(message), message) for message in messages]
        )
        assert list(outcomes) == [None] * len(messages)

    async def get(
        self, path: str, principal: Principal, audience: Service = Service.LEDGER
    ) -> httpx2.Response:
        token = self.tokens.issue(principal, audience)
        return await self.client.get(path, headers={"Authorization": f"Bearer {token}"})

    def admin(self) -> Principal:
        return Principal(user_id=ADMIN, role="ADMIN", account_id=ADMIN)

    def user(self) -> Principal:
        return Principal(user_id=ADMIN, role="USER", account_id=ADMIN)

    async def order(
        self, path: str, body: Any, key: str | None = None, *, role: Role = "ADMIN"
    ) -> httpx2.Response:
        """What an administrator orders: `PUT` the grace, `POST` the rest."""
        admin = Principal(user_id=ADMIN, role=role, account_id=ADMIN)
        headers = {"Authorization": f"Bearer {self.tokens.issue(admin, Service.LEDGER)}"}
        headers |= {} if key is None else {"Idempotency-Key": key}
        headers |= {"Content-Type": "application/json"}
        method = "PUT" if path.endswith("grace") else "POST"
        return await self.client.request(
            method, f"/api/admin/accounts/{path}", content=json.dumps(body), headers=headers
        )


@pytest.fixture
async def running(
    cluster: LocalCluster, ledger_dsn: str, topic_prefix: str, ledger: Ledger
) -> AsyncIterator[RunningLedger]:
    """The whole service, behind HTTP, on real Kafka and Postgres."""
    settings = Settings(
        database_dsn=SecretStr(ledger_dsn),
        database_pool_size=5,
        kafka_bootstrap=cluster.kafka_bootstrap,
        internal_secret=SECRET,
    )
    create = partial(create_app, settings)
    async with reached(create, Service.LEDGER, cluster.kafka_bootstrap, prefix=topic_prefix) as at:
        yield RunningLedger(
            client=at.client, bus=at.bus, books=ledger, tokens=InternalTokens(SECRET, SystemClock())
        )
