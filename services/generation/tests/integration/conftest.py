"""Generation on real parts: its use cases one by one, or the whole service."""

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
from libs.events.transport import OutgoingMessage
from libs.runtime.objects_s3 import S3ObjectStore, S3Options
from libs.runtime.testing import Streams, open_streams
from libs.runtime.testing_http import reached
from services.generation.app import MIGRATIONS, create_app
from services.generation.settings import Settings
from services.generation.tests.integration.stage import Stage

SECRET = SecretStr("between the gateway and generation: 32 bytes")


@pytest.fixture
def generation_dsn(cluster: LocalCluster, database_name: str) -> str:
    return cluster.postgres_dsn(Service.GENERATION, database_name)


@pytest.fixture
async def streams(generation_dsn: str) -> AsyncIterator[Streams]:
    """Generation's tables, under its own role."""
    async with open_streams(generation_dsn, Service.GENERATION, [MIGRATIONS]) as opened:
        yield opened


@pytest.fixture
async def bucket(cluster: LocalCluster) -> AsyncIterator[S3ObjectStore]:
    options = S3Options(
        endpoint=cluster.s3.endpoint,
        region=cluster.s3.region,
        bucket=cluster.s3.bucket,
        access_key=SecretStr(cluster.s3.access_key),
        secret_key=SecretStr(cluster.s3.secret_key),
    )
    async with S3ObjectStore.connect(options) as opened:
        yield opened


@pytest.fixture
async def stage(streams: Streams, bucket: S3ObjectStore) -> AsyncIterator[Stage]:
    """The use cases with a provider of the test's own making."""
    stage = Stage(streams, bucket)
    await stage.offer()
    yield stage
    await stage.close()


class RunningGeneration(Struct):
    """The service as its neighbours see it: its topics, its bucket, its tables."""

    client: httpx2.AsyncClient
    bus: KafkaBus
    bucket: S3ObjectStore
    streams: Streams

    async def tell(self, *events: Event[Payload]) -> None:
        outcomes = await self.bus.publish(
            [
                OutgoingMessage(Topic.GENERATION, event.key.encode(), encode(event))
                for event in events
            ]
        )
        assert list(outcomes) == [None] * len(events)


@pytest.fixture
async def generation(
    cluster: LocalCluster,
    generation_dsn: str,
    topic_prefix: str,
    streams: Streams,
    bucket: S3ObjectStore,
) -> AsyncIterator[RunningGeneration]:
    """The whole service on real Kafka, Postgres and S3."""
    settings = Settings(
        database_dsn=SecretStr(generation_dsn),
        database_pool_size=8,
        kafka_bootstrap=cluster.kafka_bootstrap,
        internal_secret=SECRET,
        s3_endpoint=cluster.s3.endpoint,
        s3_region=cluster.s3.region,
        s3_bucket=cluster.s3.bucket,
        s3_access_key=SecretStr(cluster.s3.access_key),
        s3_secret_key=SecretStr(cluster.s3.secret_key),
    )
    create = partial(create_app, settings)
    async with reached(
        create, Service.GENERATION, cluster.kafka_bootstrap, prefix=topic_prefix
    ) as at:
        yield RunningGeneration(client=at.client, bus=at.bus, bucket=bucket, streams=streams)
