"""A process that is killed, -9, at one very point on real Kafka and Postgres, and starts again.

Whatever the point: nothing is lost, nothing is doubled.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from uuid import UUID, uuid4

import httpx2
import pytest
from pydantic import SecretStr

from infra.local.cluster import LocalCluster
from libs.events.billing import UsageRecorded
from libs.events.bus import KafkaBus
from libs.events.envelope import Event, encode
from libs.events.identity import UserRegistered
from libs.events.names import Service, Topic
from libs.events.operations import MessageDiscarded, MessageRedriven
from libs.events.payload import Payload
from libs.events.transport import OutgoingMessage
from libs.runtime.auth import InternalTokens, Principal
from libs.runtime.clock import SystemClock
from libs.runtime.deadletters_http import INTERNAL_PREFIX
from libs.runtime.testing import Streams, open_streams
from libs.runtime.testing_crashes import Mortal, Mortals
from libs.runtime.testing_mortal import Point
from libs.runtime.tests.small.app import MIGRATIONS, POISON

DEADLINE_SECONDS = 60.0
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

    async def told(self, *kinds: type[Payload]) -> list[Event[Payload]]:
        """What of these kinds its readers get."""
        events = await self.streams.heard(self.bus, kinds[0].topic)
        return [event for event in events if isinstance(event.data, kinds)]

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
    later = [stage.registered() for _ in range(EVENTS)]  # read after all that might be repeated
    async with stage.processes.process():

        async def all_are_applied() -> bool:
            return {event.id for event in (*events, *later)} <= set(await stage.applied())

        await stage.tell(*later)
        await stage.until(all_are_applied)
        await stage.until_published()
    once = dict.fromkeys((event.id for event in (*events, *later)), 1)
    assert Counter(await stage.applied()) == once
    answers = await stage.told(UsageRecorded)
    assert Counter(each.causation_id for each in answers) == once


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
        with suppress(httpx2.TransportError):
            await stage.act(mortal, action)
        await mortal.death()  # the relay's may come a moment after the answer
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
    done = await stage.told(MessageRedriven, MessageDiscarded)
    assert Counter(type(each.data) for each in done) == (
        {MessageRedriven: 3} if action == "redrive" else {MessageRedriven: 2, MessageDiscarded: 1}
    )
    assert len({each.data.subject for each in done}) == 3  # one event for each row
    assert len(await stage.told(UsageRecorded)) == 3
