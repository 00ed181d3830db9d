"""The latest messages of real topics, however they are spread over time and partitions."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from infra.local.cluster import LocalCluster
from infra.local.ports import HOST
from infra.local.problem import Problem
from libs.events.names import Topic
from tools.events.streams import Streams, open_streams
from tools.tests.integration.test_commands import daygen

HOUR, DAY = 3600, 86_400
AGES_SECONDS = (400 * DAY, 40 * DAY, 2 * DAY, 2 * HOUR, 90, 5, 1)


class Stage:
    """Two topics of a test's own, and a writer who decides when a message came."""

    def __init__(self, producer: AIOKafkaProducer, prefix: str, streams: Streams) -> None:
        self._producer = producer
        self._prefix = prefix
        self.streams = streams

    async def write(self, text: str, *, seconds_ago: int = 0, partition: int = 0) -> None:
        topic = Topic.CREDITS if len(text) % 2 else Topic.GENERATION
        at_ms = int((time.time() - seconds_ago) * 1000)
        await self._producer.send_and_wait(
            self._prefix + topic, text.encode(), partition=partition, timestamp_ms=at_ms
        )

    async def latest(self, count: int, word: bytes = b"") -> list[str]:
        found = await self.streams.latest(lambda value: word in value, count)
        return [record.value.decode() for record in found]


@pytest.fixture
async def stage(cluster: LocalCluster, topic_prefix: str) -> AsyncIterator[Stage]:
    producer = AIOKafkaProducer(bootstrap_servers=cluster.kafka_bootstrap)
    await producer.start()
    names = [topic_prefix + Topic.GENERATION, topic_prefix + Topic.CREDITS]
    for name in names:
        await producer.partitions_for(name)  # waits until the broker knows the new topic
    async with open_streams(cluster.kafka_bootstrap, names) as streams:
        yield Stage(producer, topic_prefix, streams)
    await producer.stop()


async def test_the_latest_are_found_over_all_partitions_oldest_first(stage: Stage) -> None:
    for number, age in enumerate(AGES_SECONDS):
        await stage.write(f"{'a' * number} {age}", seconds_ago=age, partition=number % 3)
    everything = [f"{'a' * number} {age}" for number, age in enumerate(AGES_SECONDS)]
    for count in (1, 2, 4, len(AGES_SECONDS), 100):
        assert await stage.latest(count) == everything[-count:]


async def test_an_old_one_is_found_behind_newer_ones_that_do_not_match(stage: Stage) -> None:
    await stage.write("wanted, long ago", seconds_ago=40 * DAY)
    for number in range(20):
        await stage.write(f"other {number}", partition=number % 3)
    assert await stage.latest(5, b"wanted") == ["wanted, long ago"]


async def test_empty_topics_have_no_latest(stage: Stage) -> None:
    assert await stage.latest(5) == []


async def test_following_goes_on_where_the_latest_ended(stage: Stage) -> None:
    await stage.write("before", partition=1)
    assert await stage.latest(5) == ["before"]
    await stage.write("between", partition=1)
    coming = stage.streams.following(lambda _value: True)
    async with asyncio.timeout(60):
        assert (await anext(coming)).value == b"between"
        await stage.write("after", partition=2)
        assert (await anext(coming)).value == b"after"
    await coming.aclose()


async def test_a_topic_that_is_missing_is_a_problem(cluster: LocalCluster) -> None:
    with pytest.raises(Problem, match="has no topic nowhere"):
        async with open_streams(cluster.kafka_bootstrap, ["nowhere"]):
            pass


async def test_a_kafka_that_is_away_is_a_problem() -> None:
    with socket.socket() as nobody:  # a port that is taken, where nobody answers
        nobody.bind((HOST, 0))
        bootstrap = f"{HOST}:{nobody.getsockname()[1]}"
        with pytest.raises(Problem, match="cannot be read"):
            async with open_streams(bootstrap, [Topic.CREDITS]):
                pass


def test_the_tail_of_an_empty_home_says_how_to_start_it(tmp_path: Path) -> None:
    result = daygen("events", "tail", "--home", str(tmp_path))
    assert result.returncode == 2
    assert f"start it with `./daygen up --home {tmp_path}`" in result.stderr
