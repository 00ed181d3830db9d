"""The ledger's own events -> its tables. Live, handlers write the same rows as they decide."""

from collections.abc import Sequence
from typing import cast
from uuid import UUID

from libs.events.credits import CreditsEvent, CreditsReclaimed, CreditsReversed, JobCreditsEvent
from libs.events.envelope import Event
from libs.events.operations import LogSealed
from libs.events.payload import Payload
from libs.runtime import waiting
from libs.runtime.clock import Clock
from libs.runtime.db import Connection, Transaction
from libs.runtime.recovery import HISTORY_KEY
from services.ledger import store
from services.ledger.domain.log import grow_as_sealed
from services.ledger.domain.lots import EVER, NEVER
from services.ledger.domain.postings import transaction_of
from services.ledger.domain.replay import Replay, in_order
from services.ledger.store import log

_OF_ENDED_LOTS = (CreditsReclaimed, CreditsReversed)


def credits_events(events: Sequence[Event[Payload]]) -> list[Event[CreditsEvent]]:
    """Those of the events that move credits."""
    return [
        cast("Event[CreditsEvent]", event)
        for event in events
        if isinstance(event.data, CreditsEvent)
    ]


async def follow(connection: Connection, events: Sequence[Event[Payload]]) -> None:
    """Book what recorded events say; what is booked already stays as it is.

    Raises:
        BrokenBooksError: an event does not follow on what is booked.
    """
    told = credits_events(events)
    needed = store.Needed(
        account_ids={event.data.account_id for event in told},
        job_ids={event.data.job_id for event in told if isinstance(event.data, JobCreditsEvent)},
        # What comes back is of lots that had ended, some of them long before.
        admitted_from=EVER if any(isinstance(e.data, _OF_ENDED_LOTS) for e in told) else NEVER,
    )
    before, _ = await store.load(connection, needed)
    replay = Replay(before)
    news = replay.take(told)
    await store.record(connection, before, replay.books(), [transaction_of(each) for each in news])


async def follow_seals(connection: Connection, events: Sequence[Event[Payload]]) -> None:
    """Append to the log what recorded seals have appended; what it holds already stays.

    Raises:
        BrokenLogError: a seal does not fit the log before it.
    """
    head = await log.head(connection)
    size = 0 if head is None else head.size
    for event in events:
        if not isinstance(event.data, LogSealed) or event.data.position < size:
            continue
        growth = grow_as_sealed(size, await log.edge(connection, size), event.data)
        await log.write(connection, growth, event.id, event.time)
        size = growth.size


async def remember(
    transaction: Transaction, events: Sequence[Event[Payload]], *, clock: Clock
) -> None:
    """Book what a recovery reads. An event before its predecessor waits for that one."""
    await follow_seals(transaction.connection, events)
    recorded = credits_events(events)
    keys = sorted({_key(each.data.account_id) for each in recorded})
    recorded += credits_events([event for _, event in await waiting.take(transaction, keys)])
    if not recorded:
        return
    accounts = {each.data.account_id for each in recorded}
    books, _ = await store.load(transaction.connection, store.Needed(account_ids=accounts))
    ready, early = in_order(books, recorded)
    await follow(transaction.connection, ready)
    later = [(_key(each.data.account_id), each) for each in early]
    await waiting.put(transaction, later, now=clock.now())


def _key(account_id: UUID) -> str:
    return f"{HISTORY_KEY}account:{account_id}"
