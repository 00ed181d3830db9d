"""The real parts: they come up, they come back, and they keep services apart."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from infra.kafka import topics
from infra.local import kafka, postgres, s3
from infra.local.cluster import LocalCluster
from libs.events.names import Service, Topic

DEADLINE_SECONDS = 90.0


@pytest.fixture(scope="module")
async def own_cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalCluster]:
    """Parts of this module alone, because it kills them."""
    root: Path = tmp_path_factory.mktemp("own")
    async with LocalCluster(root) as parts:
        yield parts


async def until_back(cluster: LocalCluster, name: str, killed: int) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while cluster.pid(name) in {None, killed} or not cluster.is_ready(name):
        assert time.monotonic() < deadline, f"{name} did not come back in time"
        await asyncio.sleep(0.05)


def kill(cluster: LocalCluster, name: str) -> int:
    pid = cluster.pid(name)
    assert pid is not None
    cluster.kill(name)
    return pid


async def test_committed_rows_survive_the_kill_of_postgres(own_cluster: LocalCluster) -> None:
    dsn = own_cluster.postgres_dsn(Service.LEDGER)
    connection = await asyncpg.connect(dsn)
    await connection.execute(
        "CREATE TABLE survivor (value bigint); INSERT INTO survivor VALUES (7)"
    )
    killed = kill(own_cluster, postgres.NAME)
    await until_back(own_cluster, postgres.NAME, killed)
    connection.terminate()
    again = await asyncpg.connect(dsn)
    try:
        assert await again.fetchval("SELECT value FROM survivor") == 7
    finally:
        await again.close()


async def test_acknowledged_messages_survive_the_kill_of_kafka(own_cluster: LocalCluster) -> None:
    topic = Topic.GENERATION.value
    async with AIOKafkaProducer(
        bootstrap_servers=own_cluster.kafka_bootstrap, acks="all", enable_idempotence=True
    ) as producer:
        before = await producer.send_and_wait(topic, b"one", partition=0)
    killed = kill(own_cluster, kafka.NAME)
    await until_back(own_cluster, kafka.NAME, killed)
    async with AIOKafkaProducer(
        bootstrap_servers=own_cluster.kafka_bootstrap, acks="all", enable_idempotence=True
    ) as producer:
        after = await producer.send_and_wait(topic, b"two", partition=0)
    assert after.offset == before.offset + 1


async def test_stored_objects_are_served_again_after_a_kill(own_cluster: LocalCluster) -> None:
    killed = kill(own_cluster, s3.NAME)
    await until_back(own_cluster, s3.NAME, killed)
    assert await s3.accepts_objects(own_cluster.s3)


async def test_topics_exist_with_their_partitions_and_making_them_again_is_harmless(
    cluster: LocalCluster,
) -> None:
    await topics.ensure(cluster.kafka_bootstrap)
    admin = AIOKafkaAdminClient(bootstrap_servers=cluster.kafka_bootstrap)
    await admin.start()
    try:
        described = await admin.describe_topics([topic.value for topic in Topic])
    finally:
        await admin.close()
    counts = {entry["topic"]: len(entry["partitions"]) for entry in described}
    assert counts == {topic.value: topics.PARTITIONS_EMBEDDED for topic in Topic}


@pytest.mark.parametrize("owner", list(Service))
async def test_a_role_cannot_read_or_write_the_tables_of_another(
    cluster: LocalCluster, database_name: str, owner: Service
) -> None:
    async def connect(service: Service) -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(cluster.postgres_dsn(service, database_name))

    mine = await connect(owner)
    await mine.execute("CREATE TABLE secret (value bigint); INSERT INTO secret VALUES (1)")
    assert await mine.fetchval(f"SELECT value FROM {owner}.secret") == 1
    await mine.close()
    for other in set(Service) - {owner}:
        stranger = await connect(other)
        try:
            for statement in (
                f"SELECT value FROM {owner}.secret",
                f"INSERT INTO {owner}.secret VALUES (2)",
                f"CREATE TABLE {owner}.intruder (value bigint)",
                "CREATE TABLE public.shared (value bigint)",
            ):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await stranger.execute(statement)
        finally:
            await stranger.close()


async def test_a_wrong_password_is_refused(cluster: LocalCluster) -> None:
    dsn = cluster.postgres_dsn(Service.LEDGER)
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(dsn, password="wrong")


async def test_a_wrong_key_of_the_object_store_is_refused(cluster: LocalCluster) -> None:
    store = cluster.s3
    stranger = s3.S3Access(store.endpoint, store.region, store.bucket, store.access_key, "wrong")
    assert not await s3.accepts_objects(stranger)
