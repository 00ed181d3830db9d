"""Credits events -> rows. The live ledger and a rebuild use it alike: it decides nothing."""

from collections.abc import Sequence

from libs.events.credits import CreditsEvent, JobCreditsEvent
from libs.events.envelope import Event
from libs.runtime.db import Connection
from services.ledger import store
from services.ledger.domain.fold import Books
from services.ledger.domain.postings import transaction_of


async def record(
    connection: Connection, before: Books, after: Books, events: Sequence[Event[CreditsEvent]]
) -> None:
    """Write the transactions of events, and the states that they have led to."""
    touched = {event.data.account_id for event in events}
    jobs = {event.data.job_id for event in events if isinstance(event.data, JobCreditsEvent)}
    known = {lot.lot_id: lot for each in before.accounts.values() for lot in each.lots}
    lots = [
        (account_id, lot)
        for account_id in touched
        for lot in after.accounts[account_id].lots
        if known.get(lot.lot_id) != lot
    ]
    await store.write_accounts(connection, [after.accounts[each] for each in touched])
    await store.write_lots(connection, lots)
    await store.write_reservations(connection, [after.reservations[each] for each in jobs])
    await store.post(connection, [transaction_of(event) for event in events])
