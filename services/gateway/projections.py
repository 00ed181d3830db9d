"""Events -> account copies, holds, jobs and the users' feeds, a batch at a time."""

from collections.abc import Sequence
from typing import TypeGuard

from libs.events.credits import (
    CreditsCaptured,
    CreditsDeducted,
    CreditsEvent,
    CreditsReleased,
    JobCreditsEvent,
)
from libs.events.envelope import Event
from libs.events.generation import JobEvent
from libs.events.payload import Payload
from libs.runtime.db import Connection, Transaction
from services.gateway.domain.books import Books
from services.gateway.domain.notices import notice_of
from services.gateway.store import books as store
from services.gateway.store import deductions, deliveries, feed, limits, mails


async def project(transaction: Transaction, events: Sequence[Event[Payload]]) -> None:
    """Fold a batch into the tables, tell the users, and wake whoever listens to them.

    Raises:
        UnknownSubjectError: an event is about an account or a job that was never opened here.
        UnknownNoticeError: an event wants something told that nobody here can say.
    """
    connection = transaction.connection
    books = await fold(connection, events)
    if entries := books.feed():
        told = await feed.append(connection, entries)
        if await deliveries.queue(connection, told):
            transaction.wake(deliveries.WEBHOOK_CHANNEL)
        for user_id in {entry.user_id for entry in entries}:
            transaction.wake(feed.FEED_CHANNEL, str(user_id))
    if settlements := books.settlements():
        await limits.settle(connection, settlements)
    if notices := [notice for event in events if (notice := notice_of(event))]:
        await mails.queue_notices(connection, notices)
        transaction.wake(mails.MAIL_CHANNEL)
    for account_id in {event.data.account_id for event in events if _is_waited_for(event.data)}:
        transaction.wake(deductions.ACCOUNT_CHANNEL, str(account_id))


async def fold(connection: Connection, events: Sequence[Event[Payload]]) -> Books:
    """Fold a batch into copies, holds and jobs; a rebuild does so too, and tells nobody.

    Raises:
        UnknownSubjectError: an event is about an account or a job that was never opened here.
    """
    accounts = await store.lock_accounts(
        connection,
        {event.data.account_id for event in events if isinstance(event.data, CreditsEvent)},
    )
    about_jobs = (JobEvent, CreditsCaptured, CreditsReleased)
    jobs = await store.lock_jobs(
        connection, {event.data.job_id for event in events if isinstance(event.data, about_jobs)}
    )
    holds = await deductions.lock_holds(
        connection,
        {event.data.deduction_id for event in events if isinstance(event.data, CreditsDeducted)},
    )
    books = Books(accounts, jobs, holds)
    for event in events:
        books.apply(event.data, event.time)
    await store.write_accounts(connection, books.changed_accounts())
    await store.close_holds(connection, books.closed_holds())
    await deductions.close_holds(connection, books.closed_deductions)
    await store.write_jobs(connection, books.changed_jobs())
    return books


def _is_waited_for(data: Payload) -> TypeGuard[CreditsEvent]:
    """Whether somebody may wait for the copy to have this: an order's answer, not a job's."""
    return isinstance(data, CreditsEvent) and not isinstance(data, JobCreditsEvent)
