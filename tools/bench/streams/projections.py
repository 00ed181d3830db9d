"""The real projections that are measured, and the events that they are fed with."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from random import Random

import msgspec

from libs.events import testing
from libs.events.bus import KafkaBus
from libs.events.envelope import Event, encode
from libs.events.names import EventType, Service, Topic
from libs.events.payload import Payload
from libs.events.transport import OutgoingMessage
from libs.runtime.consumer import HISTORY_RECORDS_MAX, Consumer, Handler
from libs.runtime.db import Transaction
from libs.runtime.ids import Ids
from libs.runtime.testing import Streams
from services.billing import consumers as billing
from services.billing import projections as usage
from services.gallery import consumers as gallery
from services.gallery import projections as pictures

ACCOUNTS = 1_000
PROMPT = "dunes of a wide desert, the light of late summer, in the manner of an old postcard"
PUBLISHED_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """A service's projection: the tables it fills, alone and with what it answers."""

    service: Service
    types: tuple[EventType, ...]
    tables: tuple[str, ...]
    fold: Handler
    live: Handler


async def _fold_usage(transaction: Transaction, events: Sequence[Event[Payload]]) -> None:
    await usage.record_finished_jobs(transaction.connection, events)


async def _fold_pictures(transaction: Transaction, events: Sequence[Event[Payload]]) -> None:
    await pictures.add_completed_jobs(transaction.connection, events)


PROJECTIONS = (
    Projection(
        service=Service.BILLING,
        types=billing.EVENT_TYPES,
        tables=("usage",),
        fold=_fold_usage,
        live=billing.record,
    ),
    Projection(
        service=Service.GALLERY,
        types=gallery.EVENT_TYPES,
        tables=("confirmation", "asset", "item"),
        fold=_fold_pictures,
        live=gallery.take_in,
    ),
)


def consumer_of(
    streams: Streams, bus: KafkaBus, projection: Projection, handler: Handler
) -> Consumer:
    """The consumer that the service would run, with another handler."""
    return Consumer(
        name=projection.service.consumer_group,
        topics=[Topic.GENERATION],
        types=projection.types,
        handler=handler,
        records_max=HISTORY_RECORDS_MAX,
        database=streams.database,
        bus=bus,
        clock=streams.clock,
        ids=streams.ids,
        random=streams.random,
        metrics=streams.metrics,
    )


def answers(count: int, ids: Ids) -> Iterator[Event[Payload]]:
    """Completed jobs of many accounts, one picture each, no two of them alike."""
    random = Random(7)  # noqa: S311  # to be the same in every run, not a secret
    users = [ids.new() for _ in range(ACCOUNTS)]
    picture = testing.stored_image()
    for number in range(count):
        user = random.choice(users)
        job = ids.new()
        request = testing.request_facts(
            job_id=job, user_id=user, account_id=user, prompt=f"{PROMPT}, {number}"
        )
        image = msgspec.structs.replace(picture, key=f"attempts/{job}/1.jpg")
        at = testing.NOW + timedelta(milliseconds=20 * number)
        data = testing.completed(request, images=(image,), attempt_id=ids.new())
        yield testing.event(data, event_id=ids.new(), correlation_id=job, time=at)


def message(event: Event[Payload]) -> OutgoingMessage:
    return OutgoingMessage(event.data.topic.value, event.key.encode(), encode(event))


async def publish(bus: KafkaBus, events: Iterable[Event[Payload]]) -> None:
    """Put events on the bus, some at a time."""
    remaining = iter(events)
    while some := [message(event) for event in islice(remaining, PUBLISHED_AT_ONCE)]:
        for error in await bus.publish(some):
            if error is not None:
                raise error
