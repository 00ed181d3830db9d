"""The gallery has lost its database: it lists again what it has confirmed, and confirms nothing."""

from collections.abc import AsyncIterator

import pytest

from infra.local.cluster import LocalCluster
from libs.events.bus import KafkaBus
from libs.events.envelope import Event
from libs.events.names import Service
from libs.events.payload import Payload
from libs.events.registry import REGISTRY
from libs.events.testing import completed, event, failed, request_facts
from libs.runtime import recovery as recovery_module
from libs.runtime.testing import Streams, open_streams
from libs.runtime.testing_recovery import Habits, extents, live, recover_dying, tables, tell
from services.gallery import consumers
from services.gallery.app import MIGRATIONS

HABITS = Habits(
    history=consumers.HISTORY,
    topics=consumers.TOPICS,
    types=consumers.EVENT_TYPES,
    handler=consumers.take_in,
)


@pytest.fixture
async def emptied(cluster: LocalCluster, other_database_name: str) -> AsyncIterator[Streams]:
    """The same service with a database that knows nothing."""
    dsn = cluster.postgres_dsn(Service.GALLERY, other_database_name)
    async with open_streams(dsn, Service.GALLERY, [MIGRATIONS]) as opened:
        yield opened


@pytest.fixture
async def bus(cluster: LocalCluster, topic_prefix: str) -> AsyncIterator[KafkaBus]:
    bus = KafkaBus(cluster.kafka_bootstrap, client_id="test", prefix=topic_prefix)
    yield bus
    await bus.close()


def answers(count: int) -> list[Event[Payload]]:
    """Jobs of several people, one in three failed; some are told again under another id."""
    jobs = [completed(request_facts(units=1 + n % 3)) if n % 3 else failed() for n in range(count)]
    return [event(each) for each in (*jobs, *jobs[::4])]


async def test_it_comes_back_as_it_was_and_says_nothing_again(
    streams: Streams, emptied: Streams, bus: KafkaBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through deaths before and after many of its commits."""
    await tell(bus, answers(20))
    await live(streams, bus, HABITS)
    said = await extents(bus, HABITS.history.own)
    monkeypatch.setattr(recovery_module, "RECORDS_MAX", 3)
    assert await recover_dying(emptied, bus, HABITS.history) > 5
    await live(emptied, bus, HABITS)
    assert await tables(emptied) == await tables(streams)
    assert await extents(bus, HABITS.history.own) == said


async def test_what_came_while_it_was_away_is_confirmed_once(
    streams: Streams, emptied: Streams, bus: KafkaBus
) -> None:
    await tell(bus, answers(6))
    await live(streams, bus, HABITS)
    await tell(bus, answers(6))
    await live(emptied, bus, HABITS)
    published = await emptied.published()
    assert {each for each, _ in await streams.published()} < {each for each, _ in published}
    causes = [REGISTRY.decode(encoded).causation_id for each, encoded in published if each]
    assert len(causes) == len(set(causes)) == 8
