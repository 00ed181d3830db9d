"""The gallery on real parts."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from infra.local.cluster import LocalCluster
from libs.events.names import Service
from libs.runtime.testing import Streams, open_streams
from services import gallery

MIGRATIONS = Path(gallery.__file__).parent / "migrations"


@pytest.fixture
async def streams(cluster: LocalCluster, database_name: str) -> AsyncIterator[Streams]:
    """The gallery's empty tables, under its own role."""
    dsn = cluster.postgres_dsn(user=Service.GALLERY, database=database_name)
    async with open_streams(dsn, Service.GALLERY, [MIGRATIONS]) as opened:
        yield opened
