"""Billing on real parts."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from infra.local.cluster import LocalCluster
from libs.events.names import Service
from libs.runtime.testing import Streams, open_streams
from services import billing

MIGRATIONS = Path(billing.__file__).parent / "migrations"


@pytest.fixture
async def streams(cluster: LocalCluster, database_name: str) -> AsyncIterator[Streams]:
    """Billing's empty tables, under its own role."""
    dsn = cluster.postgres_dsn(user=Service.BILLING, database=database_name)
    async with open_streams(dsn, Service.BILLING, [MIGRATIONS]) as opened:
        yield opened
