"""A process that is killed, -9, at one very point on real Kafka and Postgres, and starts again.

Whatever the point: nothing is lost, nothing is doubled.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from uuid import UUID, uuid4

import httpx2
import pytest
from pydantic import SecretStr

from infra.local.cluster import LocalCluster
from libs.events.bus import KafkaBus
from libs.events.envelope import Event, encode
from libs.events.identity import UserRegistered
from libs.events.names import EventType, Service, Topic
from libs.events.operations import MessageDiscarded, MessageRedriven
from libs.events.payload import Payload
from libs.events.transport import OutgoingMessage
from libs.runtime.auth import InternalTokens, Principal
from libs.runtime.clock import SystemClock
from libs.runtime.consumer import Consumer
from libs.runtime.db import Transaction
from libs.runtime.deadletters_http import INTERNAL_PREFIX
from libs.runtime.testing import Streams, open_streams
from libs.runtime.testing_crashes import Mortal, Mortals
from libs.runtime.testing_mortal import Point
from libs.runtime.tests.small.app import MIGRATIONS, POISON
from libs.runtime.tests.support import running

DEADLINE_SECONDS = 30.0
SECRET = "between the gateway and a service: 32 bytes"
EVENTS = 20
CONSUMING = (Point.RECEIVED, Point.APPLIED, Point.COMMITTED, Point.REPORTING)
RELAYING = (Point.PUBLISHING, Point.PUBLISHED)
ADMIN = uuid4()


class Stage:
    """The small service's processes, its tables, and what it publishes as its readers see it."""

    def __init__(self, mortals: Mortals, streams: Streams, bus: KafkaBus) -> None:
        self.processes = mortals
        self.streams = streams
        self.bus = bus
        self.heard: list[Event[Payload]] = []

    async def tell(self, *events: Event[Payload]) -> None:
        messages = [
            OutgoingMessage(Topic.IDENTITY, event.key.encode(), encode(event)) for event in events
        ]
        assert list(await self.bus.publish(messages)) == [None] * len(events)

    def registered(self, user_id: UUID | None = None, role: str = "USER") -> Event[Payload]:
        user_id = user_id or uuid4()
        data = UserRegistered(
            user_id=user_id, account_id=user_id, role=role, signup_credits=1, grace=0
        )
        return self.streams.emitter.event(data)

    async def count(self, table: str) -> int:
        async with self.streams.database.read() as connection:
            return int(await connection.fetchval(f"SELECT count(*) FROM {table}"))

    async def applied(self) -> list[UUID]:
        async with self.streams.database.read() as connection:
            rows = await connection.fetch("SELECT event_id FROM applied ORDER BY place")
        return [row["event_id"] for row in rows]

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not await condition():
                await asyncio.sleep(0.05)

    async def until_published(self) -> None:
        async def nothing_is_pending() -> bool:
            return not await self.count("outbox_pending")

        await self.until(nothing_is_pending)

    async def told(self, *types: EventType) -> list[Event[Payload]]:
        """What a reader with an inbox of its own gets of these topics, from their beginning."""

        async def hear(_transaction: Transaction, events: Sequence[Event[Payload]]) -> None:
            self.heard += events

        async with self.streams.database.read() as connection:
            topic = "daygen.billing" if EventType.USAGE_RECORDED in types else "daygen.operations"
            sent = "SELECT count(DISTINCT event_id) FROM outbox WHERE topic = $1"
            count = int(await connection.fetchval(sent, topic))
        self.heard = []
        reader = Consumer(
            name=f"reader-{uuid4()}",
            topics=[Topic(topic)],
            types=list(EventType),
            handler=hear,
            database=self.streams.database,
            bus=self.bus,
            clock=self.streams.clock,
            ids=self.streams.ids,
            random=self.streams.random,
            metrics=self.streams.metrics,
        )

        async def has_all() -> bool:
            return len(self.heard) >= count

        async with running(reader.run()):
            await self.until(has_all)
        return [event for event in self.heard if event.data.event_type in types]

    async def act(self, mortal: Mortal, action: str) -> httpx2.Response:
        """What an administrator does with the one head that is parked."""
        admin = Principal(user_id=ADMIN, role="ADMIN", account_id=ADMIN)
        token = InternalTokens(SecretStr(SECRET), SystemClock()).issue(admin, Service.BILLING)
        async with self.streams.database.read() as connection:
            head = await connection.fetchval("SELECT parked_id FROM parked ORDER BY sequence")
        return await mortal.client.post(
            f"{INTERNAL_PREFIX}/{head}/{action}",
            json={"dryRun": False, "reason": "sent twice"},
            headers={"Authorization": f"Bearer {token}"},
        )


@pytest.fixture
async def stage(
    cluster: LocalCluster, service_dsn: str, topic_prefix: str, bus: KafkaBus
) -> AsyncIterator[Stage]:
    environment = {
        "BILLING_DATABASE_DSN": service_dsn,
        "BILLING_KAFKA_BOOTSTRAP": cluster.kafka_bootstrap,
        "BILLING_INTERNAL_SECRET": SECRET,
        "BILLING_REPLICA": "one",
    }
    factory = "libs.runtime.tests.small.app:create_app"
    mortals = Mortals(factory, Service.BILLING, topic_prefix, environment)
    async with open_streams(service_dsn, Service.BILLING, [MIGRATIONS]) as streams:
        yield Stage(mortals, streams, bus)


@pytest.mark.parametrize("point", [*CONSUMING, *RELAYING])
async def test_each_event_is_applied_and_answered_once_wherever_the_process_dies(
    stage: Stage, point: Point
) -> None:
    events = [stage.registered() for _ in range(EVENTS)]
    async with stage.processes.process(point) as mortal:
        mortal.arm()
        await stage.tell(*events)
        await mortal.death()
    assert_the_point_was_hit(
        point, await stage.count("applied"), await stage.count("outbox_pending")
    )
    async with stage.processes.process():

        async def all_are_applied() -> bool:
            return await stage.count("applied") >= EVENTS

        await stage.until(all_are_applied)
        await stage.until_published()
    assert Counter(await stage.applied()) == dict.fromkeys((event.id for event in events), 1)
    answers = await stage.told(EventType.USAGE_RECORDED)
    assert Counter(each.causation_id for each in answers) == dict.fromkeys(
        (event.id for event in events), 1
    )


def assert_the_point_was_hit(point: Point, applied: int, pending: int) -> None:
    """What the dead process has left must be what lies on both sides of its point."""
    if point in {Point.RECEIVED, Point.APPLIED}:
        assert applied == pending == 0
    elif point is Point.REPORTING:  # the relay may have been quicker than the report
        assert applied > 0
    else:
        assert applied > 0
        assert pending > 0


@pytest.mark.parametrize("action", ["redrive", "discard"])
@pytest.mark.parametrize("point", [Point.APPLIED, Point.COMMITTED, *RELAYING])
async def test_a_dead_letter_is_dealt_with_once_wherever_the_process_dies(
    stage: Stage, point: Point, action: str
) -> None:
    poison = stage.registered(role=POISON)
    behind = [stage.registered(UUID(poison.subject)) for _ in range(2)]
    async with stage.processes.process() as before:

        async def all_are_parked() -> bool:
            return await stage.count("parked") >= 3

        await stage.tell(poison, *behind)
        await stage.until(all_are_parked)
        await stage.until_published()
        before.process.kill()
    async with stage.processes.process(point, BILLING_IS_HEALED="1") as mortal:
        mortal.arm()
        with pytest.raises(httpx2.TransportError):
            await die_of_it(stage, mortal, action)
    if point is Point.APPLIED:
        assert await stage.count("parked WHERE resolved_at IS NOT NULL") == 0
    async with stage.processes.process(BILLING_IS_HEALED="1") as after:
        answer = await stage.act(after, action)  # whoever got no answer asks again
        assert answer.status_code == (200 if point is Point.APPLIED else 409), answer.text
        await stage.until_published()
    applied = [each.id for each in ([poison] if action == "redrive" else []) + behind]
    assert await stage.applied() == applied
    assert await stage.count("given_up") == (1 if action == "discard" else 0)
    assert await stage.count("parked WHERE resolved_at IS NULL") == 0
    done = await stage.told(EventType.MESSAGE_REDRIVEN, EventType.MESSAGE_DISCARDED)
    assert Counter(type(each.data) for each in done) == (
        {MessageRedriven: 3} if action == "redrive" else {MessageRedriven: 2, MessageDiscarded: 1}
    )
    assert len({each.data.subject for each in done}) == 3  # one event for each row
    assert len(await stage.told(EventType.USAGE_RECORDED)) == 3


async def die_of_it(stage: Stage, mortal: Mortal, action: str) -> None:
    """The relay may die a moment after the answer; then that is the end."""
    await stage.act(mortal, action)
    await mortal.death()
    raise httpx2.TransportError("it died after its answer")
