"""Where a bench of the streams stands: its own Postgres and Kafka, databases and topics."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import asyncpg

from infra.kafka import topics
from infra.local.cluster import LocalCluster
from infra.local.supervisor import Report
from infra.postgres import roles
from libs.events.bus import KafkaBus
from libs.events.names import Service
from libs.runtime.testing import Streams, open_streams
from tools.places import ROOT


class Stand:
    """Postgres and Kafka as `./daygen up` starts them."""

    def __init__(self, cluster: LocalCluster, report: Report) -> None:
        self._cluster = cluster
        self.report = report

    @property
    def bootstrap(self) -> str:
        return self._cluster.kafka_bootstrap

    @asynccontextmanager
    async def streams(self, service: Service) -> AsyncIterator[Streams]:
        """A service's tables, empty, in a database of their own."""
        name = f"bench_{uuid4().hex}"
        admin = self._cluster.postgres_dsn(database="postgres")
        await roles.ensure_database(admin, name)
        try:
            await roles.ensure_schemas(self._cluster.postgres_dsn(database=name))
            dsn = self._cluster.postgres_dsn(service, name)
            migrations = ROOT / "services" / service.value / "migrations"
            async with open_streams(dsn, service, [migrations]) as streams:
                yield streams
        finally:
            await roles.drop_database(admin, name)

    async def checkpoint(self) -> None:
        """So that no round pays for what the one before has written."""
        connection = await asyncpg.connect(self._cluster.postgres_dsn(database="postgres"))
        try:
            await connection.execute("CHECKPOINT")
        finally:
            await connection.close()

    @asynccontextmanager
    async def bus(self) -> AsyncIterator[tuple[KafkaBus, str]]:
        """A bus with topics of its own under a prefix, empty, partitioned as in a small system."""
        prefix = f"bench-{uuid4().hex[:12]}."
        await topics.ensure(self.bootstrap, prefix=prefix)
        bus = KafkaBus(self.bootstrap, client_id="bench", prefix=prefix)
        try:
            yield bus, prefix
        finally:
            await bus.close()
            await topics.delete(self.bootstrap, prefix=prefix)


@asynccontextmanager
async def open_stand(scratch: Path, report: Report) -> AsyncIterator[Stand]:
    """Start the parts, and end them."""
    report("Starting Postgres and Kafka for the bench")
    async with LocalCluster(scratch / "streams") as cluster:
        yield Stand(cluster, report)
