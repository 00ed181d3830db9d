"""What the gateway cannot do without when a parked message is discarded."""

from typing import Final

from libs.events.names import EventType
from libs.runtime.db import Transaction
from libs.runtime.deadletters import Discarded, DiscardRefusedError
from services.gateway.store import books

# A passing signal: the job's next event says more.
HARMLESS: Final = frozenset({EventType.GENERATION_STARTED.value})
# What moves an account's copy, or closes the hold of a deduction, apart from jobs.
OF_ACCOUNTS: Final = frozenset(
    event_type.value
    for event_type in (
        EventType.CREDITS_GRANTED,
        EventType.CREDITS_RECLAIMED,
        EventType.CREDITS_EXPIRED,
        EventType.CREDITS_FORFEITED,
        EventType.CREDITS_DEBITED,
        EventType.CREDITS_DEDUCTED,
        EventType.CREDITS_REVERSED,
        EventType.GRACE_CHANGED,
    )
)
KNOWN: Final = frozenset(event_type.value for event_type in EventType)


async def settle(transaction: Transaction, discarded: Discarded) -> None:
    """Refuse what a job or an account that exists here waits for.

    Raises:
        DiscardRefusedError: without the message a hold stays open, a job unfinished or a copy old.
    """
    envelope = discarded.envelope
    if envelope is None or envelope.type in HARMLESS or envelope.type not in KNOWN:
        return
    accounts = {envelope.accountid} if envelope.accountid is not None else set()
    connection = transaction.connection
    if await books.lock_accounts(connection, accounts):
        if envelope.type in OF_ACCOUNTS:
            raise DiscardRefusedError(
                f"Account {envelope.accountid} needs this: correct the cause and redrive."
            )
        job_id = discarded.subject_id
        if job_id is not None and await books.lock_jobs(connection, {job_id}):
            raise DiscardRefusedError(
                f"Job {job_id} ends only with this message: correct the cause and redrive."
            )
