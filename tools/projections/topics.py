"""The topics beside the outboxes: each holds what the other says was published, and nothing else.

What is in the topics goes into a temporary table of each service's database, so that the two are
compared by joins, whatever their size. A message that was published twice is no difference.
"""

import hashlib
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import asyncpg
from msgspec import Struct

from libs.events.names import Service, Topic
from libs.events.registry import REGISTRY, UndecodableEventError
from libs.events.transport import IncomingMessage, Log, Partition

RECORDS_MAX = 5_000
EXAMPLES_MAX = 5

CREATE = """
    CREATE TEMPORARY TABLE published (
        topic text NOT NULL, event_id uuid, digest bytea NOT NULL, is_settled boolean NOT NULL
    ) ON COMMIT DROP
"""
_DIGEST = r"sha256(coalesce(key, '') || '\x00'::bytea || coalesce(encoded, ''))"
_SENT = f"""
    SELECT order_number, event_id, topic, {_DIGEST} AS digest FROM outbox
     WHERE topic = ANY($1::text[])
       AND NOT EXISTS (SELECT FROM outbox_pending
                        WHERE outbox_pending.order_number = outbox.order_number)
"""  # noqa: S608 - put together from constants of this module
COUNTS = """
    SELECT (SELECT count(*) FROM outbox), (SELECT count(*) FROM outbox_pending),
           (SELECT count(*) FROM published)
"""
UNSENT = f"""
    WITH sent AS MATERIALIZED ({_SENT})
    SELECT topic, event_id, order_number,
           event_id IN (SELECT event_id FROM published) AS is_altered
      FROM sent
     WHERE NOT EXISTS (SELECT FROM published
                        WHERE published.topic = sent.topic AND published.digest = sent.digest)
     ORDER BY order_number
"""  # noqa: S608 - as above
# Only what was there before the outbox was looked at must be known to it.
UNKNOWN = f"""
    WITH written AS MATERIALIZED (SELECT topic, {_DIGEST} AS digest FROM outbox)
    SELECT DISTINCT topic, event_id FROM published
     WHERE is_settled AND NOT EXISTS (
         SELECT FROM written
          WHERE written.topic = published.topic AND written.digest = published.digest)
     ORDER BY topic, event_id
"""  # noqa: S608 - as above

Session = "asyncpg.Connection[asyncpg.Record]"


class Topics(Struct, frozen=True, kw_only=True):
    """One service's outbox beside what the topics hold from it."""

    service: str
    outbox_rows: int
    pending_rows: int
    messages: int
    missing: int  # published by the outbox's word, and not in the topic
    altered: int  # there, with other bytes or another key
    unknown: int  # in the topic under the service's name, and not in its outbox
    examples: tuple[str, ...]

    @property
    def drift(self) -> int:
        return self.missing + self.altered + self.unknown


class TopicsReport(Struct, frozen=True, kw_only=True):
    """All services, and messages that are of none."""

    services: tuple[Topics, ...]
    nobodys: int

    @property
    def drift(self) -> int:
        return self.nobodys + sum(each.drift for each in self.services)


async def compare_topics(log: Log, dsns: Mapping[Service, str]) -> TopicsReport:
    """Compare every kept topic, and the dead letters' twins, with the outboxes of the services.

    Raises:
        BusError, OSError, asyncpg.PostgresError: something is away.
    """
    kept = [topic.value for topic in Topic if topic.is_kept]
    names = [*kept, *(topic.dead_letters for topic in Topic if topic.is_kept)]
    settled = await log.extents(names)
    async with AsyncExitStack() as stack:
        sessions = {
            service: await stack.enter_async_context(_snapshot(dsn))
            for service, dsn in dsns.items()
        }
        nobodys = 0
        for partition, held in (await log.extents(names)).items():
            async for messages in log.read(partition, held, records_max=RECORDS_MAX):
                nobodys += await _store(sessions, messages, settled[partition], set(kept))
        services = [await _judge(each, sessions[each], names) for each in sessions]
    return TopicsReport(services=tuple(services), nobodys=nobodys)


@asynccontextmanager
async def _snapshot(dsn: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction(isolation="repeatable_read"):
            await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            await connection.execute(CREATE)
            await connection.fetchval("SELECT count(*) FROM outbox_pending")
            yield connection
    finally:
        await connection.close()


async def _store(
    sessions: Mapping[Service, Any],
    messages: Sequence[IncomingMessage],
    settled: range,
    kept: set[str],
) -> int:
    """Put messages beside their services' outboxes; answers how many are of no service."""
    rows: defaultdict[Service, list[tuple[object, ...]]] = defaultdict(list)
    nobodys = 0
    for message in messages:
        partition: Partition = message.partition
        digest = hashlib.sha256((message.key or b"") + b"\0" + (message.value or b"")).digest()
        if partition.topic not in kept:
            for service in sessions:  # a dead letter's own sender stands in no envelope
                rows[service].append((partition.topic, None, digest, False))
            continue
        found = _sender(message)
        if found is None:
            nobodys += 1
            continue
        service, event_id = found
        rows[service].append((partition.topic, event_id, digest, message.offset < settled.stop))
    for service, records in rows.items():
        await sessions[service].copy_records_to_table("published", records=records)
    return nobodys


def _sender(message: IncomingMessage) -> tuple[Service, object] | None:
    try:
        envelope = REGISTRY.read_envelope(message.value or b"")
    except UndecodableEventError:
        return None
    service = _SERVICES.get(envelope.source)
    return None if service is None else (service, envelope.id)


_SERVICES = {service.source: service for service in Service}


async def _judge(service: Service, session: Any, names: Sequence[str]) -> Topics:
    await session.execute("ANALYZE published")
    outbox_rows, pending_rows, messages = await session.fetchrow(COUNTS)
    unsent = await session.fetch(UNSENT, names, timeout=None)
    unknown = await session.fetch(UNKNOWN, timeout=None)
    altered = [row for row in unsent if row["is_altered"]]
    examples = [
        f"{'altered' if row['is_altered'] else 'missing'}: {row['event_id']} in {row['topic']}"
        f" (outbox row {row['order_number']})"
        for row in unsent[:EXAMPLES_MAX]
    ]
    examples += [f"unknown: {row['event_id']} in {row['topic']}" for row in unknown[:EXAMPLES_MAX]]
    return Topics(
        service=service.value,
        outbox_rows=outbox_rows,
        pending_rows=pending_rows,
        messages=messages,
        missing=len(unsent) - len(altered),
        altered=len(altered),
        unknown=len(unknown),
        examples=tuple(examples),
    )
