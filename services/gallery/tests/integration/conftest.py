"""The gallery on real parts: its tables alone, or the whole service."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from json import dumps
from typing import Any

import httpx2
import pytest
from msgspec import Struct
from pydantic import SecretStr

from infra.local.cluster import LocalCluster
from libs.events.bus import KafkaBus
from libs.events.envelope import Event, encode
from libs.events.generation import StoredImage
from libs.events.names import Service, Topic
from libs.events.payload import Payload
from libs.events.testing import key_of, stored_image
from libs.events.transport import OutgoingMessage
from libs.runtime.asset_addresses import AssetSigner
from libs.runtime.auth import InternalTokens, Principal
from libs.runtime.clock import SystemClock
from libs.runtime.objects_s3 import S3ObjectStore, S3Options
from libs.runtime.testing import Streams, open_streams
from libs.runtime.testing_http import reached
from services.gallery.app import MIGRATIONS, create_app
from services.gallery.settings import Settings

SECRET = SecretStr("between the gateway and the gallery: 32 bytes")
PUBLIC_BASE_URL = "https://daygen.example"


@pytest.fixture
def gallery_dsn(cluster: LocalCluster, database_name: str) -> str:
    return cluster.postgres_dsn(Service.GALLERY, database_name)


@pytest.fixture
async def streams(gallery_dsn: str) -> AsyncIterator[Streams]:
    """The gallery's tables, under its own role."""
    async with open_streams(gallery_dsn, Service.GALLERY, [MIGRATIONS]) as opened:
        yield opened


class RunningGallery(Struct):
    """The service as its neighbours see it: its address, its topics, and the bucket."""

    client: httpx2.AsyncClient
    bus: KafkaBus
    bucket: S3ObjectStore
    streams: Streams
    tokens: InternalTokens
    signer: AssetSigner

    def path(self, key: str) -> str:
        """Where an object is served to whoever was given its address."""
        return f"/assets/{self.signer.signed(key)}"

    async def tell(self, *events: Event[Payload]) -> None:
        await self.send(*map(encode, events))

    async def send(self, *messages: bytes) -> None:
        """Raw messages of the generation topic, each account on one partition and so in order."""
        outcomes = await self.bus.publish(
            [OutgoingMessage(Topic.GENERATION, key_of(message), message) for message in messages]
        )
        assert list(outcomes) == [None] * len(messages)

    async def get(
        self, path: str, principal: Principal, audience: Service = Service.GALLERY
    ) -> httpx2.Response:
        token = self.tokens.issue(principal, audience)
        return await self.client.get(path, headers={"Authorization": f"Bearer {token}"})

    async def call(
        self, method: str, path: str, principal: Principal | None = None, json: Any = None
    ) -> httpx2.Response:
        headers = {"Content-Type": "application/json"}
        if principal is not None:
            token = self.tokens.issue(principal, Service.GALLERY)
            headers["Authorization"] = f"Bearer {token}"
        content = None if json is None else dumps(json)
        return await self.client.request(method, path, headers=headers, content=content)

    async def count(self, query: str) -> int:
        async with self.streams.database.read() as connection:
            return int(await connection.fetchval(query))

    async def store(self, content: bytes, content_type: str = "image/png") -> StoredImage:
        """A picture that is in the bucket."""
        image = stored_image(content, content_type=content_type)
        # The bucket's own type is another on purpose: what counts is the row's.
        await self.bucket.put(image.key, content, content_type="application/octet-stream")
        return image


@asynccontextmanager
async def running_gallery(
    cluster: LocalCluster, dsn: str, topic_prefix: str, streams: Streams, s3_endpoint: str
) -> AsyncIterator[RunningGallery]:
    """The whole service, behind HTTP, on real Kafka and Postgres."""
    access_key, secret_key = SecretStr(cluster.s3.access_key), SecretStr(cluster.s3.secret_key)
    settings = Settings(
        database_dsn=SecretStr(dsn),
        database_pool_size=5,
        kafka_bootstrap=cluster.kafka_bootstrap,
        internal_secret=SECRET,
        public_base_url=f"{PUBLIC_BASE_URL}/",
        s3_endpoint=s3_endpoint,
        s3_region=cluster.s3.region,
        s3_bucket=cluster.s3.bucket,
        s3_access_key=access_key,
        s3_secret_key=secret_key,
    )
    bucket = S3Options(
        endpoint=cluster.s3.endpoint,
        region=cluster.s3.region,
        bucket=cluster.s3.bucket,
        access_key=access_key,
        secret_key=secret_key,
    )
    create = partial(create_app, settings)
    async with (
        reached(create, Service.GALLERY, cluster.kafka_bootstrap, prefix=topic_prefix) as at,
        S3ObjectStore.connect(bucket) as opened,
    ):
        yield RunningGallery(
            client=at.client,
            bus=at.bus,
            bucket=opened,
            streams=streams,
            tokens=InternalTokens(SECRET, SystemClock()),
            signer=AssetSigner.of(settings, SystemClock()),
        )


@pytest.fixture
async def gallery(
    cluster: LocalCluster, gallery_dsn: str, topic_prefix: str, streams: Streams
) -> AsyncIterator[RunningGallery]:
    async with running_gallery(
        cluster, gallery_dsn, topic_prefix, streams, cluster.s3.endpoint
    ) as running:
        yield running


@pytest.fixture
async def gallery_without_storage(
    cluster: LocalCluster, gallery_dsn: str, topic_prefix: str, streams: Streams
) -> AsyncIterator[RunningGallery]:
    """Nothing listens where this one looks for S3."""
    async with running_gallery(
        cluster, gallery_dsn, topic_prefix, streams, "http://127.0.0.1:1"
    ) as running:
        yield running
