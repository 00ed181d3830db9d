"""Print the latest events of the running system, and with -f those that come."""

import argparse
import asyncio
import time
from collections.abc import Callable, Collection
from datetime import UTC
from uuid import UUID

import msgspec
from aiokafka import ConsumerRecord

from infra.local import state
from infra.local.problem import Problem
from libs.events.envelope import Envelope, decode_envelope
from libs.events.names import EventType, Topic
from tools.events.streams import Matches, open_streams
from tools.places import add_home, home_of

COUNT_DEFAULT = 20


def configure(parser: argparse.ArgumentParser) -> None:
    add_home(parser)
    parser.add_argument(
        "--type",
        action="append",
        type=known_type,
        metavar="TYPE",
        help="of this type, e.g. generation.completed (may be given several times)",
    )
    parser.add_argument("--account", type=UUID, metavar="ID", help="of this paying account")
    parser.add_argument("--job", type=UUID, metavar="ID", help="about this job")
    parser.add_argument("--correlation", type=UUID, metavar="ID", help="caused by one request")
    parser.add_argument(
        "-n", "--count", type=at_least_one, default=COUNT_DEFAULT, help="how many (default: 20)"
    )
    parser.add_argument("-f", "--follow", action="store_true", help="go on as events come")
    parser.add_argument("--json", action="store_true", help="print whole events, one a line")


def known_type(text: str) -> str:
    """A type's wire name, which may be given without its first word.

    Raises:
        argparse.ArgumentTypeError: there is no such type.
    """
    name = text if text.startswith("daygen.") else f"daygen.{text}"
    if name not in set(EventType):
        raise argparse.ArgumentTypeError(f"{text} is none of: {', '.join(EventType)}")
    return name


def at_least_one(text: str) -> int:
    """A number of events.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1 on")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    home = home_of(arguments)
    now = asyncio.run(state.load(home))
    kafka = now.get("kafka", {})
    if not kafka.get("ready"):
        raise Problem(f"No Kafka runs in {now['home']}: start it with `{home.command('up')}`.")
    matches = matcher(
        types=arguments.type or (),
        account=arguments.account,
        job=arguments.job,
        correlation=arguments.correlation,
    )
    show = show_json if arguments.json else show_line
    asyncio.run(_tail(kafka["bootstrap"], matches, arguments.count, show, follow=arguments.follow))
    return 0


async def _tail(
    bootstrap: str,
    matches: Matches,
    count: int,
    show: Callable[[ConsumerRecord], str],
    *,
    follow: bool,
) -> None:
    async with open_streams(bootstrap, [topic.value for topic in Topic]) as streams:
        for record in await streams.latest(matches, count):
            print(show(record), flush=True)
        if follow:
            async for record in streams.following(matches):
                print(show(record), flush=True)


def matcher(
    *,
    types: Collection[str] = (),
    account: UUID | None = None,
    job: UUID | None = None,
    correlation: UUID | None = None,
) -> Matches:
    """Whether an encoded event is one of those; what is not an event is only without a filter."""
    ids = [str(each).encode() for each in (account, job, correlation) if each is not None]

    def matches(encoded: bytes) -> bool:
        if not types and not ids:
            return True
        if not all(each in encoded for each in ids):
            return False  # most of a long history ends here, without being decoded
        event = _event(encoded)
        return event is not None and (
            (not types or event.type in types)
            and (account is None or event.accountid == account)
            and (correlation is None or event.correlationid == correlation)
            and (job is None or str(job) in {event.subject, _job(event)})
        )

    return matches


def _event(encoded: bytes) -> Envelope | None:
    try:
        return decode_envelope(encoded)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


class _AboutJob(msgspec.Struct):
    job_id: str | None = None


def _job(event: Envelope) -> str | None:
    try:
        return msgspec.json.decode(event.data, type=_AboutJob).job_id
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def show_line(record: ConsumerRecord) -> str:
    """One line: when, what, by whom, about what; the time is Kafka's where it is no event."""
    event = _event(record.value)
    if event is None:
        got = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.timestamp / 1000))
        place = f"{record.topic}[{record.partition}] at {record.offset}"
        return f"{got}.{record.timestamp % 1000:03}Z  not an event: {place}"
    at = event.time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
    writer = event.source.rpartition("/")[2]
    account = "-" if event.accountid is None else event.accountid
    return (
        f"{at}Z  {event.type:<35}  {writer:<10}  subject {event.subject}  account {account}  "
        f"correlation {event.correlationid}"
    )


def show_json(record: ConsumerRecord) -> str:
    """The message as it is on the wire, which is one line."""
    value: bytes = record.value
    return value.decode(errors="replace").replace("\n", " ")
