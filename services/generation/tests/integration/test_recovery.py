"""Generation has lost its database: what was decided stays decided, what was not runs."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from infra.local.cluster import LocalCluster
from libs.events.bus import KafkaBus
from libs.events.envelope import Event
from libs.events.generation import FailureCode, GenerationRequested, RequestFacts
from libs.events.names import Service, Topic
from libs.events.payload import Payload
from libs.events.registry import REGISTRY
from libs.events.testing import event, request_facts
from libs.runtime import recovery as recovery_module
from libs.runtime.testing import Streams
from libs.runtime.testing_http import Reached, reached
from libs.runtime.testing_recovery import extents, recover_dying, tell
from services.generation import consumers
from services.generation.app import create_app
from services.generation.settings import Settings
from services.generation.tests.integration.conftest import SECRET

DEADLINE_SECONDS = 60.0
DECIDED = """
    SELECT id, account_id, provider, cost, requested, state, attempt_id, deadline_at, failure_code
      FROM job WHERE decided_at IS NOT NULL ORDER BY id
"""

Run = Callable[[Streams], AbstractAsyncContextManager[Reached]]


@pytest.fixture
def run(cluster: LocalCluster, topic_prefix: str) -> Run:
    """The whole service on some database."""

    def start(streams: Streams) -> AbstractAsyncContextManager[Reached]:
        settings = Settings(
            database_dsn=SecretStr(streams.dsn),
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
        return reached(create, Service.GENERATION, cluster.kafka_bootstrap, prefix=topic_prefix)

    return start


def asked(**changes: Any) -> Event[Payload]:
    request: RequestFacts = request_facts(
        deadline_at=datetime.now(UTC) + timedelta(minutes=10), **changes
    )
    data = GenerationRequested(
        job_id=request.job_id, account_id=request.account_id, request=request
    )
    return event(data, source=Service.GATEWAY)


async def rows(streams: Streams, query: str) -> list[Any]:
    async with streams.database.read() as connection:
        return [tuple(row) for row in await connection.fetch(query)]


async def until_decided(streams: Streams, count: int) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while len(await rows(streams, DECIDED)) < count or await rows(
            streams, "SELECT order_number FROM outbox_pending"
        ):
            await asyncio.sleep(0.05)


async def causes(streams: Streams) -> list[UUID | None]:
    published = await streams.published()
    return [REGISTRY.decode(encoded).causation_id for _, encoded in published]


async def test_a_decided_job_never_runs_again_and_an_undecided_one_does(
    streams: Streams,
    emptied: Streams,
    bus: KafkaBus,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decided = [asked(), asked(units=2), asked(provider="nobody")]
    await tell(bus, decided)
    async with run(streams):
        await until_decided(streams, 3)
    undecided = [asked(), asked()]
    await tell(bus, [*undecided, decided[0]])  # a repeat as well, at another offset
    before = await extents(bus, [Topic.GENERATION])
    monkeypatch.setattr(recovery_module, "RECORDS_MAX", 2)
    assert await recover_dying(emptied, bus, consumers.HISTORY) > 3
    # What nobody has drawn yet is not known of; nothing was said again.
    assert await rows(emptied, DECIDED) == await rows(streams, DECIDED)
    assert await extents(bus, [Topic.GENERATION]) == before
    async with run(emptied):
        await until_decided(emptied, 5)
    assert sorted(map(str, await causes(emptied))) == sorted(
        str(each.id) for each in (*decided, *undecided)
    )
    attempts = await rows(emptied, "SELECT job_id, count(*) FROM attempt GROUP BY job_id")
    assert {count for _, count in attempts} == {1}
    assert len(attempts) == 4  # the refused job was never tried
    failed = await rows(emptied, "SELECT failure_code FROM job WHERE state = 'failed'")
    assert failed == [(FailureCode.UNPROCESSABLE,)]
