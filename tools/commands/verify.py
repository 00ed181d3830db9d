"""Compare all projections with the streams, the topics with the outboxes, and prove the books."""

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping
from typing import Any

import asyncpg
import msgspec
from msgspec import Struct

from infra.local import state
from infra.local.home import Home
from infra.local.problem import Problem
from libs.events.bus import KafkaBus
from libs.events.names import Service
from libs.events.transport import BusError
from libs.runtime.migrate import MigrationError
from libs.runtime.rebuild.engine import Outcome, Rebuild
from libs.runtime.rebuild.projection import RebuildError
from tools.invariants import what_is_wrong_now
from tools.places import add_home, home_of
from tools.projections.log import LogReport, compare_log
from tools.projections.places import (
    PROJECTIONS,
    check_running,
    dsn_of,
    log_to_stderr,
    projection_of,
)
from tools.projections.report import HEADING, as_json, table_of
from tools.projections.topics import TopicsReport, compare_topics

EXIT_DRIFT = 1
TOPICS_HEADING = (
    f"  {'service':<12} {'outbox rows':>12} {'pending':>9} {'messages':>10} {'missing':>9}"
    f" {'altered':>9} {'unknown':>9}"
)


class Verified(Struct, frozen=True):
    """Everything that was looked at."""

    projections: tuple[Outcome, ...]
    topics: TopicsReport
    log: LogReport
    books: Mapping[str, int]  # broken rules, with how often

    @property
    def has_drift(self) -> bool:
        is_equal = all(each.is_equal for each in self.projections)
        return not is_equal or self.topics.drift + self.log.drift > 0 or bool(self.books)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for programs")
    add_home(parser)


def run(arguments: argparse.Namespace) -> int:
    """Exit code 1 if anything differs."""
    log_to_stderr()
    try:
        verified = asyncio.run(_verify(home_of(arguments)))
    except (RebuildError, MigrationError, BusError) as error:
        raise Problem(str(error)) from error
    except (asyncpg.PostgresError, OSError) as error:
        raise Problem(f"The database cannot be used: {error}.") from error
    print(json.dumps(_as_json(verified), indent=2) if arguments.json else _as_text(verified))
    return EXIT_DRIFT if verified.has_drift else 0


async def _verify(home: Home) -> Verified:
    now = await state.load(home)
    check_running(home, now)
    bus = KafkaBus(now["kafka"]["bootstrap"], client_id="daygen-verify")
    dsns = {service: dsn_of(home, now, service) for service in Service}
    async with bus.log() as log:
        outcomes = []
        for name, (service, _) in PROJECTIONS.items():
            _say(f"{name}: folding its streams")
            dsn = dsns[service]
            async with Rebuild.open(projection_of(name), dsn=dsn, log=log) as rebuild:
                outcomes.append(await rebuild.run())
        _say("topics: comparing with the outboxes")
        topics = await compare_topics(log, dsns)
        _say("log: making the ledger's Merkle tree again")
        merkle_log = await compare_log(log, dsns[Service.LEDGER])
    _say("books: adding up")
    connection = await asyncpg.connect(now["postgres"]["dsn"])
    try:
        books = await what_is_wrong_now(connection)
    finally:
        await connection.close()
    return Verified(tuple(outcomes), topics, merkle_log, books)


def _as_json(verified: Verified) -> dict[str, Any]:
    return {
        "drift": verified.has_drift,
        "projections": [as_json(each) for each in verified.projections],
        "topics": msgspec.to_builtins(verified.topics),
        "log": {**msgspec.to_builtins(verified.log), "equal": not verified.log.drift},
        "books": dict(verified.books),
    }


def _as_text(verified: Verified) -> str:
    lines = ["Projections: live tables beside the same made anew from the streams", HEADING]
    for outcome in verified.projections:
        lines += table_of(outcome.service, outcome.tables)
    lines += ["", "Topics: beside the outboxes of those who write them", TOPICS_HEADING]
    for each in verified.topics.services:
        lines.append(
            f"  {each.service:<12} {each.outbox_rows:>12,} {each.pending_rows:>9,}"
            f" {each.messages:>10,} {each.missing:>9,} {each.altered:>9,} {each.unknown:>9,}"
        )
        lines += [f"    {example}" for example in each.examples]
    if verified.topics.nobodys:
        lines.append(f"  {verified.topics.nobodys:,} messages are events of no service")
    lines += [
        "",
        "Log: the root of the ledger's events as they stand on Kafka",
        *_log(verified.log),
    ]
    lines += ["", "Books: rules that hold at every instant"]
    lines += [f"  {count:>7,} {name}" for name, count in verified.books.items()]
    if not verified.books:
        lines.append("  all of them hold")
    lines += ["", "There is drift." if verified.has_drift else "No drift."]
    return "\n".join(lines)


def _log(log: LogReport) -> list[str]:
    verdict = "equal" if not log.drift else "DIFFERENT"
    lines = [f"  {log.size:,} leaves in {log.seals:,} seals, root {log.root}  {verdict}"]
    if log.drift:
        lines.append(
            f"    {log.missing} missing, {log.altered} altered, {log.twice} sealed twice,"
            f" {log.broken_seals} broken seals"
        )
        lines += [] if log.is_kept else ["    the ledger's tables have another root"]
        lines += [f"    {example}" for example in log.examples]
    if log.unsealed:
        lines.append(f"    {log.unsealed:,} events wait for the next seal")
    return lines


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
