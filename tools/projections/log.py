"""The ledger's Merkle log, made again from Kafka: its root, and what no longer fits it.

Seals say which events are its leaves, in which order, with which hashes. Here the hashes are made
anew from the events as they stand on Kafka, in temporary tables of the ledger's database, so that
the size of the log does not matter.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
from msgspec import Struct

from libs.events.names import EventType, Service, Topic
from libs.events.operations import LogSealed
from libs.events.registry import REGISTRY, UndecodableEventError
from libs.events.transport import Log
from libs.proofs import tiles
from libs.proofs.canonical import NotCanonicalError
from libs.proofs.leaves import leaf_of
from libs.proofs.merkle import EMPTY_ROOT, HASH_BYTES
from libs.proofs.notes import NoteError, from_base64, to_base64

RECORDS_MAX = 2_000
EXAMPLES_MAX = 5

CREATE = """
    CREATE TEMPORARY TABLE sealed (position bigint, event_id uuid, hash bytea) ON COMMIT DROP;
    CREATE TEMPORARY TABLE streamed (event_id uuid, hash bytea) ON COMMIT DROP;
"""
INDEX = """
    CREATE INDEX ON sealed (event_id); CREATE INDEX ON streamed (event_id);
    ANALYZE sealed; ANALYZE streamed;
"""
WRONG = """
    SELECT position, event_id,
           CASE WHEN position > (SELECT min(position) FROM sealed AS earlier
                                  WHERE earlier.event_id = sealed.event_id) THEN 'twice'
                WHEN EXISTS (SELECT FROM streamed WHERE streamed.event_id = sealed.event_id)
                THEN 'altered' ELSE 'missing' END AS kind
      FROM sealed
     WHERE NOT EXISTS (SELECT FROM streamed WHERE streamed.event_id = sealed.event_id
                          AND streamed.hash = sealed.hash)
        OR EXISTS (SELECT FROM sealed AS earlier
                    WHERE earlier.event_id = sealed.event_id AND earlier.position < sealed.position)
     ORDER BY position
"""
UNSEALED = """
    SELECT count(DISTINCT event_id) FROM streamed
     WHERE NOT EXISTS (SELECT FROM sealed WHERE sealed.event_id = streamed.event_id)
"""
KEPT_ROOT = "SELECT root FROM seal WHERE size = $1"


class LogReport(Struct, frozen=True, kw_only=True):
    """What the streams make of the log, beside what its seals and the ledger's tables say."""

    size: int
    seals: int
    root: str  # of the leaves as Kafka's events give them, base64
    unsealed: int  # booked, and waiting for the next seal
    missing: int  # sealed, and no longer on Kafka
    altered: int  # there with another content than was sealed
    twice: int  # sealed a second time
    broken_seals: int  # not where the log ended, or with another root than their leaves'
    is_kept: bool  # whether the ledger's own tables have the same root
    examples: tuple[str, ...]

    @property
    def drift(self) -> int:
        is_lost = not self.is_kept
        return self.missing + self.altered + self.twice + self.broken_seals + is_lost


async def compare_log(log: Log, dsn: str) -> LogReport:
    """Make the log again; nothing is changed.

    Raises:
        BusError, OSError, asyncpg.PostgresError: something is away.
    """
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction():
            await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            await connection.execute(CREATE)
            # Seals first: what they name was published before them.
            seals = await _read_seals(connection, log)
            await _read_events(connection, log)
            await connection.execute(INDEX)
            return await _judge(connection, seals)
    finally:
        await connection.close()


class _Seals(Struct):
    """The log as its seals have it."""

    size: int = 0
    seals: int = 0
    root: bytes = EMPTY_ROOT
    edge: dict[tiles.TileKey, bytes] = {}
    seen: set[int] = set()
    broken: list[str] = []

    def take(self, sealed: LogSealed) -> list[bytes]:
        """The hashes that a seal appends; none if it has been read before."""
        if sealed.position < self.size and sealed.position in self.seen:
            return []
        self.seen.add(sealed.position)
        try:
            hashes = [from_base64(each.hash) for each in sealed.leaves]
        except NoteError:
            hashes = []
        if sealed.position != self.size or any(len(each) != HASH_BYTES for each in hashes):
            self.broken.append(f"broken: the seal at {sealed.position} does not follow on the log")
            return []
        changed = tiles.append(self.size, self.edge, hashes)
        self.size += len(hashes)
        held = {**self.edge, **changed}
        self.edge = {key: held[key] for key in tiles.edge_of(self.size)}
        self.root = tiles.root(self.size, self.edge)
        self.seals += 1
        if (sealed.size, sealed.root) != (self.size, to_base64(self.root)):
            self.broken.append(f"broken: the seal at {sealed.position} has another root")
        return hashes


async def _read_seals(connection: Any, log: Log) -> _Seals:
    seals = _Seals()
    async for _, encoded in _messages(log, Topic.OPERATIONS):
        try:
            envelope = REGISTRY.read_envelope(encoded)
            if (envelope.source, envelope.type) != (Service.LEDGER.source, EventType.LOG_SEALED):
                continue
            sealed = REGISTRY.open(envelope).data
        except UndecodableEventError:
            continue
        assert isinstance(sealed, LogSealed)  # noqa: S101  # its type says so
        rows = [
            (sealed.position + number, leaf.event_id, hash_)
            for number, (leaf, hash_) in enumerate(
                zip(sealed.leaves, seals.take(sealed), strict=False)
            )
        ]
        await connection.copy_records_to_table("sealed", records=rows)
    return seals


async def _read_events(connection: Any, log: Log) -> None:
    rows: list[tuple[object, bytes]] = []
    async for number, encoded in _messages(log, Topic.CREDITS):
        try:
            envelope = REGISTRY.read_envelope(encoded)
            if envelope.source == Service.LEDGER.source:
                rows.append((envelope.id, leaf_of(encoded)))
        except (UndecodableEventError, NotCanonicalError):
            continue
        if number % RECORDS_MAX == 0:
            await connection.copy_records_to_table("streamed", records=rows)
            rows = []
            await asyncio.sleep(0)
    await connection.copy_records_to_table("streamed", records=rows)


async def _messages(log: Log, topic: Topic) -> AsyncIterator[tuple[int, bytes]]:
    """Everything that a topic holds now, with a running number."""
    number = 0
    for partition, extent in (await log.extents([topic.value])).items():
        async for messages in log.read(partition, extent, records_max=RECORDS_MAX):
            for message in messages:
                number += 1
                yield number, message.value or b""


async def _judge(connection: Any, seals: _Seals) -> LogReport:
    wrong = await connection.fetch(WRONG, timeout=None)
    kept = await connection.fetchval(KEPT_ROOT, seals.size) if seals.size else EMPTY_ROOT
    count = {
        kind: sum(row["kind"] == kind for row in wrong) for kind in ("missing", "altered", "twice")
    }
    examples = [f"{row['kind']}: {row['event_id']} at {row['position']}" for row in wrong]
    return LogReport(
        size=seals.size,
        seals=seals.seals,
        root=to_base64(seals.root),
        unsealed=await connection.fetchval(UNSEALED, timeout=None),
        broken_seals=len(seals.broken),
        is_kept=kept == seals.root,
        examples=(*seals.broken, *examples)[:EXAMPLES_MAX],
        **count,
    )
