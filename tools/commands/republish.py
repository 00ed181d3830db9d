"""Fill a Kafka that was emptied again from the services' outboxes.

The relays have noticed that topics were made anew, and stand still: nothing new may leave before
the kept rows. With --yes those are queued, in one commit per service, and published in order; what
dies in the middle is gone on with.
"""

import argparse
import asyncio
import time
from collections.abc import Mapping
from typing import TypeAlias
from uuid import UUID

import asyncpg

from infra.local import state
from infra.local.problem import Problem
from libs.events.bus import KafkaBus
from libs.events.names import Service, kept_topics
from libs.events.transport import BusError
from tools.places import add_home, home_of

SAY_SECONDS = 2.0

TO_PUBLISH = """
    SELECT outbox.topic, count(*) AS rows
      FROM {service}.outbox JOIN {service}.published_topic USING (topic)
      JOIN unnest($1::text[], $2::uuid[]) AS now (topic, now_id) USING (topic)
     WHERE topic_id <> now_id GROUP BY 1 ORDER BY 1
"""
QUEUED = "SELECT count(*) FROM {service}.outbox_pending"

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


def configure(parser: argparse.ArgumentParser) -> None:
    add_home(parser)
    parser.add_argument("--yes", action="store_true", help="do it; without it nothing is changed")


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 also if there is nothing to do; 1 if something would have to be done."""
    home = home_of(arguments)
    now = asyncio.run(state.load(home))
    for part in ("postgres", "kafka"):
        if not now.get(part, {}).get("ready"):
            up = home.command("up")
            raise Problem(f"No {part} runs in {home.root}: start it with `{up}`.")
    return asyncio.run(_republish(now, is_real=arguments.yes))


async def _republish(now: state.State, *, is_real: bool) -> int:
    bus = KafkaBus(now["kafka"]["bootstrap"], client_id="daygen-republish")
    try:
        ids = await bus.topic_ids(kept_topics())
    except BusError as error:
        raise Problem(f"{error}: wait until Kafka is ready.") from error
    finally:
        await bus.close()
    connection = await asyncpg.connect(now["postgres"]["dsn"])
    try:
        rows = {service: await _to_publish(connection, service, ids) for service in Service}
        _show(rows)
        if not any(rows.values()):
            print("No topic has lost anything that was published to it.")
            return 0
        if not is_real:
            print("This was a dry run, nothing has changed: add --yes to do it.")
            return 1
        for service in Service:
            await _queue(connection, service, ids)
        await _follow(connection)
    finally:
        await connection.close()
    return 0


async def _to_publish(
    connection: Connection, service: Service, ids: Mapping[str, UUID]
) -> dict[str, int]:
    statement = TO_PUBLISH.format(service=service)
    found = await connection.fetch(statement, list(ids), list(ids.values()), timeout=None)
    return {row["topic"]: row["rows"] for row in found}


def _show(rows: Mapping[Service, Mapping[str, int]]) -> None:
    for service, topics in rows.items():
        for topic, count in topics.items():
            print(f"{service:<10}  {topic:<22}  {count:>9} rows to publish again")


async def _queue(connection: Connection, service: Service, ids: Mapping[str, UUID]) -> None:
    async with connection.transaction():
        await connection.execute(f"SET LOCAL search_path TO {service}")
        await connection.execute(
            "SELECT republish_outbox($1, $2)", list(ids), list(ids.values()), timeout=None
        )


async def _follow(connection: Connection) -> None:
    """Until the relays have published everything; they go on without us as well."""
    began = said_at = time.monotonic()
    while left := await _left(connection):
        if time.monotonic() > said_at + SAY_SECONDS:
            said_at = time.monotonic()
            print(f"{left} rows are left", flush=True)
        await asyncio.sleep(0.2)
    print(f"Everything is published after {time.monotonic() - began:.1f} s.")


async def _left(connection: Connection) -> int:
    counts = [await connection.fetchval(QUEUED.format(service=service)) for service in Service]
    return int(sum(counts))
