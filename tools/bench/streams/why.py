"""Why, asked with a million events stored; and what it costs to keep an event, beside COPY."""

import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import timedelta
from random import Random
from typing import Any, cast
from uuid import UUID

import msgspec
from msgspec.structs import astuple

from libs.events import testing
from libs.events.credits import CreditsCaptured, CreditsReserved
from libs.events.envelope import decode_envelope, encode
from libs.events.gallery import GalleryItemsAdded
from libs.events.generation import GenerationRequested
from libs.events.names import TRAIL_GROUP, EventType, Service
from libs.events.payload import Payload
from libs.events.recorded import ENVELOPES
from libs.events.transport import Bus, IncomingMessage, Partition, Subscription
from libs.runtime.auth import Principal
from libs.runtime.consumer import Consumer
from libs.runtime.intake import Gatherer
from libs.runtime.paging import NEWEST
from libs.runtime.testing import Streams
from services.ledger.domain.trail import TrailRow, row_of_envelope
from services.ledger.handlers import trail as handler
from services.ledger.handlers.stories import Stories
from services.ledger.store import trail
from services.ledger.store.trail import Wanted
from tools.bench.figures import Outcome, Spread, ratios
from tools.bench.findings import Figure, Finding
from tools.bench.streams import tables
from tools.bench.streams.projections import answers
from tools.bench.streams.stand import Stand

STORED = 1_000_000
DAYS = 30
PEOPLE = 1_000
LOADED_AT_ONCE = 50_000
ASKED = 50  # jobs in a round
SECONDS_MAX = 5.0
TABLES = ("trail", "inbox", "position")

ADMIN = Principal(user_id=UUID(int=1), role="ADMIN", account_id=UUID(int=1))
# Stand for a job and a person in the data, which is made once and not a million times.
JOB, PERSON = UUID(int=2**127 + 1), UUID(int=2**127 + 2)


async def why(stand: Stand, events: int, rounds: int) -> list[Finding]:
    """Both, each on tables of its own."""
    return [await _asked(stand, rounds), await _kept(stand, events, rounds)]


async def _asked(stand: Stand, rounds: int) -> Finding:
    random = Random(7)  # noqa: S311  # to be the same in every run, not a secret
    times: dict[str, list[float]] = {}
    async with stand.streams(Service.LEDGER) as streams:
        stand.report(f"why: storing {STORED:,} events")
        jobs = await _store(streams, random)
        await stand.checkpoint()
        stories = Stories(streams.database)
        for number in range(1, rounds + 1):
            stand.report(f"why: round {number} of {rounds}")
            for name, ask in _questions(stories, jobs, random).items():
                times.setdefault(name, []).append(await _slowest_ms(ask))
    slowest = [max(each) / 1e3 for each in zip(*times.values(), strict=True)]
    return Finding(
        bench="why",
        what=f"{STORED:,} events of {DAYS} days stored; the slowest answer of each round",
        figures=tuple(Figure(name, "ms", Spread.of(each)) for name, each in times.items()),
        outcomes=(Outcome("the slowest of all", "s", Spread.of(slowest), SECONDS_MAX),),
    )


Ask = Callable[[], Iterator[Awaitable[object]]]


def _questions(stories: Stories, jobs: Sequence[TrailRow], random: Random) -> dict[str, Ask]:
    """Each question, as often as it is asked in a round."""
    some = random.sample(jobs, ASKED)
    person = next(each.account_id for each in some if each.account_id)
    at = some[0].occurred_at
    hour = Wanted(since=at, until=at + timedelta(hours=1))
    failed = Wanted(types=[EventType.GENERATION_FAILED.value])
    path = Wanted(path='$.request.prompt ? (@ == "nothing like this")')

    def of_jobs() -> Iterator[Awaitable[object]]:
        return (stories.of_job(UUID(each.subject), ADMIN) for each in some)

    def once(asked: Callable[[], Awaitable[object]]) -> Ask:
        return lambda: iter([asked()])

    both = (Wanted(user_id=person), Wanted(account_id=person))
    return {
        f"why --job, {ASKED} jobs": of_jobs,
        "why --user, ten stories": once(lambda: stories.newest(both, 10)),
        "why --at, ten stories of an hour": once(lambda: stories.newest([hour], 10)),
        "why --failed, and none has": once(lambda: stories.newest([failed], 10)),
        "newest 200 events": once(lambda: stories.search(Wanted(), NEWEST, 200)),
        "a page by a path that nothing fits": once(lambda: stories.search(path, NEWEST, 200)),
    }


async def _slowest_ms(ask: Ask) -> float:
    slowest = 0.0
    for answer in ask():
        began = time.perf_counter()
        await answer
        slowest = max(slowest, time.perf_counter() - began)
    return slowest * 1e3


async def _store(streams: Streams, random: Random) -> list[TrailRow]:
    """A million events by COPY; answers the requests."""
    asked: list[TrailRow] = []
    rows: list[TrailRow] = []
    patterns = _patterns()
    people = [streams.ids.new() for _ in range(PEOPLE)]
    jobs = STORED // len(patterns) + 1
    step = timedelta(days=DAYS) / jobs
    for number in range(jobs):
        at = testing.NOW + step * number
        story = _story(patterns, streams.ids.new(), random.choice(people), streams)
        rows += [
            msgspec.structs.replace(each, occurred_at=at + timedelta(seconds=second))
            for second, each in enumerate(story)
        ]
        asked.append(rows[-len(patterns)])
        if len(rows) >= LOADED_AT_ONCE or number == jobs - 1:
            async with streams.database.transaction() as transaction:
                await trail.record(transaction.connection, rows)
            rows = []
    return asked


def _story(
    patterns: Sequence[TrailRow], job: UUID, person: UUID, streams: Streams
) -> Iterator[TrailRow]:
    cause: UUID | None = None
    for each in patterns:
        data = each.data.replace(str(JOB).encode(), str(job).encode())
        yield msgspec.structs.replace(
            each,
            event_id=(event_id := streams.ids.new()),
            subject=str(job),
            account_id=person,
            user_id=person if each.user_id else None,
            correlation_id=job,
            causation_id=cause,
            data=data.replace(str(PERSON).encode(), str(person).encode()),
        )
        cause = event_id


def _patterns() -> list[TrailRow]:
    """The events of one job."""
    request = testing.request_facts(job_id=JOB, user_id=PERSON, account_id=PERSON)
    booked: dict[str, Any] = {
        "job_id": JOB,
        "account_id": PERSON,
        "account_version": 2,
        "settled_after": 20,
        "grace_after": 0,
        "transaction_id": UUID(int=3),
        "credits": 3,
        "lots": (),
    }
    story: list[Payload] = [
        GenerationRequested(job_id=JOB, account_id=PERSON, request=request),
        CreditsReserved(**booked),
        testing.completed(request),
        CreditsCaptured(**booked, released_credits=0, released_lots=()),
        GalleryItemsAdded(job_id=JOB, account_id=PERSON, user_id=PERSON, item_ids=()),
    ]
    return [row_of_envelope(decode_envelope(encode(testing.event(each)))) for each in story]


class _Still:
    """A subscription that nothing is fetched from."""

    def seek(self, partition: Partition, offset: int) -> None: ...


async def _kept(stand: Stand, events: int, rounds: int) -> Finding:
    """Messages into the trail by its consumer, beside a COPY of the same rows into the table."""
    floors: list[float] = []
    ours: list[float] = []
    async with stand.streams(Service.LEDGER) as streams:
        encoded = [encode(each) for each in answers(events, streams.ids)]
        for number in range(1, rounds + 1):
            stand.report(f"trail: round {number} of {rounds}")
            ours.append(events / await _indexed(streams, encoded))
            rows = [tables.Rows("trail", trail.COLUMN_NAMES, _rows(encoded))]
            await tables.empty(streams, TABLES)
            floors.append(events / await tables.copy(streams, rows))
            await tables.empty(streams, TABLES)
            await stand.checkpoint()
    return Finding(
        bench="trail",
        what=f"{events:,} encoded events into the trail, {handler.RECORDS_MAX:,} a batch",
        figures=(
            Figure("floor: COPY of the rows", "events/s", Spread.of(floors)),
            Figure("ours: read, inbox, positions, rows", "events/s", Spread.of(ours)),
            Figure("ours over the floor's", "x", ratios(ours, floors)),
        ),
        outcomes=(),
    )


def _rows(encoded: Sequence[bytes]) -> list[tuple[Any, ...]]:
    return [astuple(row_of_envelope(decode_envelope(each))) for each in encoded]


async def _indexed(streams: Streams, encoded: Sequence[bytes]) -> float:
    """Seconds that the trail's consumer takes."""
    partition = Partition("bench", streams.ids.new(), 0)
    consumer = Consumer(
        name=TRAIL_GROUP,
        topics=handler.TOPICS,
        types=(),
        handler=handler.index,
        database=streams.database,
        bus=cast("Bus", None),  # it is fed by hand
        clock=streams.clock,
        ids=streams.ids,
        random=streams.random,
        metrics=streams.metrics,
        registry=ENVELOPES,
        reader=Gatherer,
    )
    await consumer.place({partition: range(2**40)})
    messages = [
        IncomingMessage(partition, offset, None, value) for offset, value in enumerate(encoded)
    ]
    still, size = cast("Subscription", _Still()), handler.RECORDS_MAX
    began = time.perf_counter()
    for start in range(0, len(messages), size):
        await consumer.consume(still, messages[start : start + size])
    return time.perf_counter() - began
