"""Publishes the outbox: in order per key, also with several replicas, at least once.

Each replica holds a lease on a share of the key hashes. A crash between publishing and marking
publishes a row again; so does a replica that lost its lease in the middle. Both start at the first
unmarked row of a key, so the first copies of a key's events always stand in order, and the readers'
inboxes drop the rest. Rows are marked by the statement that looks for the next ones, or a moment
later when none come.

A topic that was made anew has lost what this service had published. Nothing may leave before that,
or readers of the new topic would find each key's end before its beginning: so the relay stands
still until `republish_outbox` has queued the kept rows.
"""

from collections.abc import Sequence
from contextlib import suppress
from random import Random

import msgspec
import structlog
from asyncpg import Record

from libs.events.names import CONTENT_TYPE_CLOUDEVENT, HEADER_CONTENT_TYPE, kept_topics
from libs.events.transport import Bus, OutgoingMessage
from libs.runtime.clock import Clock
from libs.runtime.db import Database
from libs.runtime.faults import Backoff
from libs.runtime.metrics import StreamMetrics
from libs.runtime.outbox import EXTEND, RELAY_CHANNEL
from libs.runtime.wakeups import Wakeup, Wakeups

ROWS_MAX = 500
LEASE_SECONDS = 15.0
RENEW_SECONDS = 5.0  # also the slow poll that finds rows whose wake-up was lost in a crash
EXTEND_SECONDS = 60.0
MARK_SECONDS = 0.1  # so long the marks of what is published wait for the next rows

# CloudEvents Kafka binding, structured mode: a reader tells the format by this header.
EVENT_HEADERS = ((HEADER_CONTENT_TYPE, CONTENT_TYPE_CLOUDEVENT),)

HOLD = "SELECT hold_relay_shares($1, make_interval(secs => $2))"
NOTE_TOPICS = "SELECT note_topics($1::text[], $2::uuid[])"
# A crash that forgets a mark only publishes the row again, so nobody waits for the disk here.
MARK = """
    WITH setting AS (SELECT set_config('synchronous_commit', 'off', true))
    DELETE FROM outbox_pending USING setting WHERE order_number = ANY($1::bigint[])
"""
MARK_AND_PENDING = f"""
    WITH marked AS ({MARK})
    SELECT order_number, topic, key, headers, encoded
      FROM (SELECT order_number FROM outbox_pending
             WHERE share = ANY($2::smallint[]) AND order_number > $3
               AND order_number <> ALL($1::bigint[])  -- a statement does not see what it deletes
             ORDER BY order_number LIMIT $4) AS next
      JOIN outbox USING (order_number)
     ORDER BY order_number
"""  # noqa: S608  # put together from constants alone

logger = structlog.get_logger(__name__)


class Relay:
    """The relay of one process of a service."""

    def __init__(
        self,
        *,
        replica: str,
        database: Database,
        bus: Bus,
        wakeups: Wakeups,
        clock: Clock,
        random: Random,
        metrics: StreamMetrics,
    ) -> None:
        self._replica = replica
        self._database = database
        self._bus = bus
        self._wakeups = wakeups
        self._clock = clock
        self._random = random
        self._metrics = metrics
        self._shares: list[int] = []
        self._unmarked: list[int] = []  # order numbers of what is published
        self._made_anew: Sequence[str] = ()
        self._renew_at = self._extend_at = -1.0

    async def run(self) -> None:
        """Publish until cancelled."""
        try:
            with self._wakeups.listen(RELAY_CHANNEL) as wakeup:
                await self._follow(wakeup)
        finally:
            with suppress(Exception):  # then they are published again
                await self._mark()

    async def _follow(self, wakeup: Wakeup) -> None:
        backoff = Backoff()
        while True:
            try:
                await self._keep_house()
                published = 0 if self._made_anew else await self._publish_next()
                backoff.reset()
                if published == ROWS_MAX or await wakeup.wait(MARK_SECONDS):
                    continue
                await self._mark()
            except Exception as error:  # noqa: BLE001  # nothing may end the relay
                self._renew_at = -1.0  # look at the topics before anything else is published
                self._metrics.publish_failures.inc()
                logger.warning("relay_failed", error=repr(error))
                await self._clock.sleep(backoff.next_seconds(self._random.random()))
            else:
                await wakeup.wait(max(0.0, self._renew_at - self._clock.monotonic()))

    async def publish_pending(self) -> int:
        """Publish the next rows and mark them; answers how many there were.

        Raises:
            BusError and others: not all were published; the ones that were are marked.
        """
        try:
            return await self._publish_next()
        finally:
            await self._mark()

    async def _publish_next(self) -> int:
        """Mark what was published before, and publish the next rows."""
        async with self._database.read() as connection:
            behind = _Behind()
            while True:
                rows = await connection.fetch(
                    MARK_AND_PENDING, self._unmarked, self._shares, behind.last, ROWS_MAX
                )
                self._unmarked = []
                sendable = behind.sendable(rows)
                if sendable:
                    outcomes = await self._bus.publish([_message(row) for row in sendable])
                    self._unmarked = behind.settle(sendable, outcomes)
                    self._metrics.published.inc(len(self._unmarked))
                if behind.error is None or len(rows) < ROWS_MAX:
                    break
        if behind.error is not None:
            raise behind.error
        return len(rows)

    async def _mark(self) -> None:
        if self._unmarked:
            async with self._database.read() as connection:
                await connection.execute(MARK, self._unmarked)
            self._unmarked = []

    async def hold_shares(self) -> list[int]:
        """Renew the leases; take over expired ones up to a fair part of all."""
        async with self._database.read() as connection:
            self._shares = await connection.fetchval(HOLD, self._replica, LEASE_SECONDS)
        return self._shares

    async def look_at_topics(self) -> Sequence[str]:
        """Which topics were made anew, and do not hold what was published to them.

        Raises:
            BusError: Kafka cannot be asked.
        """
        ids = await self._bus.topic_ids(kept_topics())
        async with self._database.read() as connection:
            made_anew = await connection.fetchval(NOTE_TOPICS, list(ids), list(ids.values()))
        if made_anew and not self._made_anew:
            logger.critical("relay_stands_still", made_anew=made_anew, remedy="daygen republish")
        self._made_anew = made_anew
        self._metrics.topics_made_anew.set(len(made_anew))
        return self._made_anew

    async def _keep_house(self) -> None:
        now = self._clock.monotonic()
        if now >= self._extend_at:
            async with self._database.read() as connection:
                await connection.execute(EXTEND)
            self._extend_at = now + EXTEND_SECONDS
        if now >= self._renew_at:
            await self.hold_shares()
            await self.look_at_topics()
            self._renew_at = now + RENEW_SECONDS


class _Behind:
    """What failed in one go over the outbox: the rest of its keys waits, everything else leaves."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.last = 0  # order number of the last row that was looked at
        self._keys: set[tuple[str, bytes | None]] = set()

    def sendable(self, rows: Sequence[Record]) -> list[Record]:
        """The rows that no earlier row holds up."""
        if rows:
            self.last = rows[-1]["order_number"]
        return [row for row in rows if (row["topic"], row["key"]) not in self._keys]

    def settle(self, rows: Sequence[Record], outcomes: Sequence[BaseException | None]) -> list[int]:
        """Note what failed; answers the order numbers of what is stored."""
        stored = []
        for row, error in zip(rows, outcomes, strict=True):
            if error is None:
                stored.append(row["order_number"])
            else:
                self.error = self.error or error
                self._keys.add((row["topic"], row["key"]))
        return stored


def _message(row: Record) -> OutgoingMessage:
    if row["headers"] is None:
        return OutgoingMessage(row["topic"], row["key"], row["encoded"], EVENT_HEADERS)
    headers = msgspec.json.decode(row["headers"], type=dict[str, str])
    carried = tuple((name, value.encode()) for name, value in headers.items())
    return OutgoingMessage(row["topic"], row["key"], row["encoded"], carried)
