"""The ledger's own events -> its books: what a recovery does. It decides nothing."""

from collections.abc import Iterable, Sequence
from typing import cast
from uuid import UUID

from libs.events.credits import CreditsEvent, JobCreditsEvent
from libs.events.envelope import Event
from libs.events.payload import Payload
from libs.runtime import waiting
from libs.runtime.clock import Clock
from libs.runtime.db import Transaction
from libs.runtime.recovery import HISTORY_KEY
from services.ledger import store
from services.ledger.domain.fold import follow
from services.ledger.domain.postings import transaction_of


async def remember(
    transaction: Transaction, events: Sequence[Event[Payload]], *, clock: Clock
) -> None:
    """Write down what was booked. An event before its predecessor waits for that one."""
    recorded = _credits(events)
    keys = {_key(each.data.account_id) for each in recorded}
    recorded += _credits(event for _, event in await waiting.take(transaction, sorted(keys)))
    if not recorded:
        return
    before, _ = await store.load(
        transaction.connection,
        {each.data.account_id for each in recorded},
        {each.data.job_id for each in recorded if isinstance(each.data, JobCreditsEvent)},
    )
    followed = follow(before, recorded)
    transactions = [transaction_of(event) for event in followed.applied]
    await store.record(transaction.connection, before, followed.books, transactions)
    early = [(_key(each.data.account_id), each) for each in followed.early]
    await waiting.put(transaction, early, now=clock.now())


def _credits(events: Iterable[Event[Payload]]) -> list[Event[CreditsEvent]]:
    found = [each for each in events if isinstance(each.data, CreditsEvent)]
    return cast("list[Event[CreditsEvent]]", found)


def _key(account_id: UUID) -> str:
    return f"{HISTORY_KEY}account:{account_id}"
