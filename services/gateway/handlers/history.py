"""What a gateway that comes from a backup finds of itself on the streams."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import structlog

from libs.events.envelope import Event
from libs.events.generation import GenerationRequested
from libs.events.identity import (
    AccountErased,
    ApiKeyRevoked,
    DeductionRequested,
    LimitChanged,
    SessionsRevoked,
    UserBanned,
    UserRegistered,
    UserUnbanned,
    WorkspaceCreated,
)
from libs.events.operations import PriceBookAdded
from libs.events.payload import Payload
from libs.runtime import waiting
from libs.runtime.clock import Clock
from libs.runtime.db import Connection, Transaction
from libs.runtime.recovery import HISTORY_KEY
from services.gateway.store import books, deductions, erasure, inputs, openings
from services.gateway.store import history as store
from services.gateway.store.openings import Opening

logger = structlog.get_logger(__name__)


async def remember(
    transaction: Transaction, events: Sequence[Event[Payload]], *, clock: Clock
) -> None:
    """Bring back what was announced after the backup: accounts, jobs, deductions, rules.

    E-mails, passwords, API keys and idempotency keys never were on a stream: those are lost.
    """
    await _remember_rules(transaction.connection, events)
    await _remember_refusals(transaction.connection, events)
    opened = [e.data for e in events if isinstance(e.data, UserRegistered | WorkspaceCreated)]
    await openings.open_accounts(transaction.connection, opened)
    users = [(event.data, event.time) for event in events if isinstance(event.data, UserRegistered)]
    gone = [event.data.user_id for event in events if isinstance(event.data, AccountErased)]
    requests = [
        event.data.request for event in events if isinstance(event.data, GenerationRequested)
    ]
    if users and (added := await store.add_users(transaction.connection, users)):
        logger.warning("accounts_without_log_in", user_ids=[str(each) for each in added])
    if gone:  # a backup may still know them
        await erasure.forget_users(transaction.connection, sorted(gone))
    deducted = [event for event in events if isinstance(event.data, DeductionRequested)]
    await _remember_deductions(transaction, deducted, opened, clock=clock)
    await inputs.refer(transaction.connection, requests)
    if requests and (accepted := await store.add_jobs(transaction.connection, requests)):
        logger.info("jobs_brought_back", jobs=len(accepted))


async def _remember_deductions(
    transaction: Transaction,
    deducted: Sequence[Event[Payload]],
    opened: Sequence[Opening],
    *,
    clock: Clock,
) -> None:
    """A deduction that stands before the opening of its account waits for it.

    It does in topics that were made anew, where new rows may have come before the kept ones.
    """
    keys = sorted({_key(each.account_id) for each in opened})
    found = [*deducted, *(event for _, event in await waiting.take(transaction, keys))]
    accounts = {event.data.account for event in found if event.data.account is not None}
    known = await books.lock_accounts(transaction.connection, accounts)
    ready: list[DeductionRequested] = []
    early: list[tuple[str, Event[Payload]]] = []
    for event in found:
        if isinstance(event.data, DeductionRequested):
            if event.data.account_id in known:
                ready.append(event.data)
            else:
                early.append((_key(event.data.account_id), event))
    await waiting.put(transaction, early, now=clock.now())
    if ready and (restored := await deductions.add(transaction.connection, ready)):
        logger.info("deductions_brought_back", deductions=len(restored))


def _key(account_id: UUID) -> str:
    return f"{HISTORY_KEY}account:{account_id}"


async def _remember_rules(connection: Connection, events: Sequence[Event[Payload]]) -> None:
    """Prices and limits: of several about one subject the last one holds."""
    books = [event.data for event in events if isinstance(event.data, PriceBookAdded)]
    limits = {e.data.subject: e.data for e in events if isinstance(e.data, LimitChanged)}
    if books:
        await store.add_price_books(connection, books)
    if limits:
        await store.write_limits(connection, list(limits.values()))


async def _remember_refusals(connection: Connection, events: Sequence[Event[Payload]]) -> None:
    """Bans, revoked keys and log-ins: a backup may still let them in."""
    bans: dict[UUID, tuple[datetime | None, str | None]] = {}
    for event in events:
        match event.data:
            case UserBanned() as ban:
                bans[ban.user_id] = event.time, ban.reason
            case UserUnbanned() as ban:
                bans[ban.user_id] = None, None
            case _:
                continue
    revoked = {e.data.key_id: e.time for e in events if isinstance(e.data, ApiKeyRevoked)}
    ended = {
        each.data.user_id: (each.data.session_epoch, each.time)
        for each in events
        if isinstance(each.data, SessionsRevoked)
    }
    if bans:
        await store.write_bans(connection, bans)
    if revoked:
        await store.revoke_keys(connection, revoked)
    if ended:
        await store.end_log_ins(connection, ended)
