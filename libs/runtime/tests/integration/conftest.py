"""The billing schema stands in for any service's: the streams' tables are the same in all."""

from collections.abc import AsyncIterator

import pytest

from infra.local.cluster import LocalCluster
from libs.events.names import Service
from libs.runtime.testing import Streams, open_streams


@pytest.fixture
def service_dsn(cluster: LocalCluster, database_name: str) -> str:
    return cluster.postgres_dsn(Service.BILLING, database_name)


@pytest.fixture
async def streams(service_dsn: str) -> AsyncIterator[Streams]:
    async with open_streams(service_dsn, Service.BILLING) as streams:
        async with streams.database.read() as connection:
            await connection.execute(
                "CREATE TABLE applied (event_id uuid, user_id uuid, place bigserial)"
            )
        yield streams
