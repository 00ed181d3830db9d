"""What a gateway that comes from a backup finds of itself on the streams."""

from collections.abc import Sequence

import structlog

from libs.events.envelope import Event
from libs.events.generation import GenerationRequested
from libs.events.identity import AccountErased, DeductionRequested, UserRegistered
from libs.events.payload import Payload
from libs.runtime.db import Transaction
from services.gateway.store import deductions, erasure
from services.gateway.store import history as store

logger = structlog.get_logger(__name__)


async def remember(transaction: Transaction, events: Sequence[Event[Payload]]) -> None:
    """Bring back accounts, deductions and jobs that were announced after the backup.

    E-mails, passwords and idempotency keys never were on a stream: those are lost.
    """
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
    if requests and (accepted := await store.add_jobs(transaction.connection, requests)):
        logger.info("jobs_brought_back", jobs=len(accepted))
