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
    UserBanned,
    UserRegistered,
    UserUnbanned,
)
from libs.events.operations import PriceBookAdded
from libs.events.payload import Payload
from libs.runtime.db import Connection, Transaction
from services.gateway.store import deductions, erasure, inputs
from services.gateway.store import history as store

logger = structlog.get_logger(__name__)


async def remember(transaction: Transaction, events: Sequence[Event[Payload]]) -> None:
    """Bring back what was announced after the backup: accounts, jobs, deductions, rules.

    E-mails, passwords, API keys and idempotency keys never were on a stream: those are lost.
    """
    await _remember_rules(transaction.connection, events)
    await _remember_refusals(transaction.connection, events)
    users = [(event.data, event.time) for event in events if isinstance(event.data, UserRegistered)]
    gone = [event.data.user_id for event in events if isinstance(event.data, AccountErased)]
    requests = [
        event.data.request for event in events if isinstance(event.data, GenerationRequested)
    ]
    if users and (added := await store.add_users(transaction.connection, users)):
        logger.warning("accounts_without_log_in", user_ids=[str(each) for each in added])
    if gone:  # a backup may still know them
        await erasure.forget_users(transaction.connection, sorted(gone))
    deducted = [event.data for event in events if isinstance(event.data, DeductionRequested)]
    if deducted and (restored := await deductions.restore(transaction.connection, deducted)):
        logger.info("deductions_brought_back", deductions=len(restored))
    await inputs.refer(transaction.connection, requests)
    if requests and (accepted := await store.add_jobs(transaction.connection, requests)):
        logger.info("jobs_brought_back", jobs=len(accepted))


async def _remember_rules(connection: Connection, events: Sequence[Event[Payload]]) -> None:
    """Prices and limits: of several about one subject the last one holds."""
    books = [event.data for event in events if isinstance(event.data, PriceBookAdded)]
    limits = {e.data.subject: e.data for e in events if isinstance(e.data, LimitChanged)}
    if books:
        await store.add_price_books(connection, books)
    if limits:
        await store.write_limits(connection, list(limits.values()))


async def _remember_refusals(connection: Connection, events: Sequence[Event[Payload]]) -> None:
    """Bans and revoked keys: a backup may still let them in."""
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
    if bans:
        await store.write_bans(connection, bans)
    if revoked:
        await store.revoke_keys(connection, revoked)
