"""Every event -> the trail. Nothing is decided here, and nothing is said."""

from collections.abc import Sequence
from typing import Final

from libs.events.envelope import Event
from libs.events.identity import AccountErased
from libs.events.names import Topic
from libs.events.payload import Payload
from libs.runtime.db import Connection, Transaction
from services.ledger.domain.trail import row_of
from services.ledger.store import trail

TOPICS: Final = tuple(topic for topic in Topic if topic.is_kept)
# Nobody waits for a row of the trail as somebody does for a balance: it comes by the thousand, or
# twice a second, and leaves the processor to the books.
PACE_SECONDS: Final = 0.5
RECORDS_MAX: Final = 2_000


async def index(transaction: Transaction, events: Sequence[Event[Payload]]) -> None:
    """Keep a batch of events."""
    await follow(transaction.connection, events)


async def follow(connection: Connection, events: Sequence[Event[Payload]]) -> None:
    """Keep events as they were recorded. Who is erased in one of them is forgotten in all."""
    await trail.record(connection, [row_of(each) for each in events])
    gone = {each.data.account_id for each in events if isinstance(each.data, AccountErased)}
    for account_id in sorted(gone):
        await trail.forget(connection, account_id)
