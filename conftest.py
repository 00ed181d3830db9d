"""Marks by folder, and the real parts that integration tests share: one start for a whole run."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import _lru_cache_wrapper
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
import structlog
from fastapi.dependencies import models as fastapi_models
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from infra.kafka import topics
from infra.local.cluster import LocalCluster
from infra.postgres import roles
from libs.events.bus import KafkaBus
from libs.events.names import Service
from libs.runtime.migrate import RUNTIME_MIGRATIONS, migrate
from libs.runtime.testing import Streams, open_streams

ROOT = Path(__file__).parent
KINDS = ("unit", "integration", "e2e")
# Copied for each test: schemas without tables, and those of the services with all of theirs.
EMPTY = "daygen_empty"
MIGRATED = "daygen_migrated"

# How long an example takes is a matter of what else runs.
settings.register_profile("daygen", deadline=None)
settings.load_profile("daygen")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--live",
        action="store_true",
        help="ask the real providers that there are keys for, not their simulators; it costs money",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for kind in KINDS:
            if kind in item.path.parts:
                item.add_marker(kind)


class EndToEndByFile(LoadScopeScheduling):  # type: ignore[misc] # xdist ships no types
    """Gives each process one test after the other, but a whole file of end-to-end tests at a time.

    These share a system that takes ten seconds to start. They come first, being the longest.
    """

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.partition("::")[0] if "/e2e/" in nodeid else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> EndToEndByFile:
    return EndToEndByFile(config, log)


def pytest_runtest_teardown() -> None:
    """Leave nothing of a test to the next one that is of the whole process.

    A log that went to a file of the test's own goes nowhere now, and would fail whoever writes.
    FastAPI remembers every function that it was given, and so all applications of a run.
    """
    structlog.reset_defaults()
    root = logging.getLogger()
    for handler in list(root.handlers):
        if type(handler) is logging.StreamHandler:  # pytest's own are of other types
            root.removeHandler(handler)
    for remembered in vars(fastapi_models).values():
        if isinstance(remembered, _lru_cache_wrapper):
            remembered.cache_clear()


@pytest.fixture(scope="session")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalCluster]:
    """Real Postgres, Kafka and S3, in a home that lives as long as the run."""
    root: Path = tmp_path_factory.mktemp("cluster")
    async with LocalCluster(root, is_durable=False) as parts:
        admin = parts.postgres_dsn(database="postgres")
        await roles.ensure_database(admin, EMPTY)
        await roles.ensure_schemas(parts.postgres_dsn(database=EMPTY))
        await roles.ensure_database(admin, MIGRATED, template=EMPTY)
        await roles.ensure_schemas(parts.postgres_dsn(database=MIGRATED))
        for service in Service:
            await _migrate(parts, service)
        yield parts


async def _migrate(cluster: LocalCluster, service: Service) -> None:
    connection = await asyncpg.connect(cluster.postgres_dsn(service, MIGRATED))
    try:
        own = ROOT / "services" / service / "migrations"
        await migrate(connection, service, [RUNTIME_MIGRATIONS, own])
    finally:
        await connection.close()


@pytest.fixture
def database_template(request: pytest.FixtureRequest) -> str:
    """Tests of a service find its tables made, which takes as long as many of them."""
    return MIGRATED if "services" in request.path.parts else EMPTY


@pytest.fixture
async def database_name(cluster: LocalCluster, database_template: str) -> AsyncIterator[str]:
    """A database of this test alone, with every service's role and schema; no table has a row."""
    async with _database(cluster, database_template) as name:
        yield name


@pytest.fixture
async def other_database_name(cluster: LocalCluster, database_template: str) -> AsyncIterator[str]:
    """One more: for what comes back into an empty database."""
    async with _database(cluster, database_template) as name:
        yield name


@asynccontextmanager
async def _database(cluster: LocalCluster, template: str) -> AsyncIterator[str]:
    admin = cluster.postgres_dsn(database="postgres")
    name = f"test_{uuid4().hex}"
    await roles.ensure_database(admin, name, template=template)
    # Rights on a database are not copied with its template.
    await roles.ensure_schemas(cluster.postgres_dsn(database=name))
    yield name
    await roles.drop_database(admin, name)


@pytest.fixture
async def topic_prefix(cluster: LocalCluster) -> AsyncIterator[str]:
    """Every topic of the bus, empty, under a prefix of this test alone."""
    prefix = f"{uuid4().hex[:12]}."
    await topics.ensure(cluster.kafka_bootstrap, partitions=3, prefix=prefix)
    yield prefix
    await topics.delete(cluster.kafka_bootstrap, prefix=prefix)


@pytest.fixture
async def bus(cluster: LocalCluster, topic_prefix: str) -> AsyncIterator[KafkaBus]:
    """A client of this test's topics."""
    bus = KafkaBus(cluster.kafka_bootstrap, client_id="test", prefix=topic_prefix)
    yield bus
    await bus.close()


@pytest.fixture
async def emptied(
    cluster: LocalCluster, other_database_name: str, streams: Streams
) -> AsyncIterator[Streams]:
    """The service of `streams` with a database that knows nothing."""
    dsn = cluster.postgres_dsn(streams.service, other_database_name)
    async with open_streams(dsn, streams.service, streams.migrations) as opened:
        yield opened
