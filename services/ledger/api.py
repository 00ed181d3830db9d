"""The ledger's HTTP routes: what the caller's account holds, and what has moved it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from libs.events.credits import Wallet
from libs.runtime.auth import Principal, RequirePrincipal
from libs.runtime.db import Database
from services.ledger import store
from services.ledger.domain.account import Account
from services.ledger.domain.lots import Lot
from services.ledger.domain.postings import Book, Transaction, TransactionKind

LIMIT_DEFAULT = 50
LIMIT_MAX = 200
VERSION_MAX = 2**63 - 1

JobId = Annotated[UUID | None, Query(alias="jobId", description="Only what this job moved.")]
Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX)]
Cursor = Annotated[
    int | None, Query(ge=1, le=VERSION_MAX, description="`nextCursor` of the page before.")
]


class Body(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)


class LotRow(Body):
    """Credits that came together."""

    lot_id: UUID
    wallet: Wallet
    credits: int
    remaining: int
    source: str
    expires_at: datetime | None


class Balance(Body):
    """An account. Version 0: the ledger has not opened it yet, the figures are still to come."""

    account_id: UUID
    version: int
    settled: int
    reserved: int
    grace: int
    overdraft: int
    available: int
    lots: list[LotRow]


class EntryRow(Body):
    """Credits into a book, or out of it if negative."""

    book: Book
    lot_id: UUID | None
    credits: int


class TransactionRow(Body):
    """One move of credits: its entries sum to zero, its event tells why it was made."""

    transaction_id: UUID
    account_version: int
    kind: TransactionKind
    job_id: UUID | None
    settled_after: int
    grace_after: int
    event_id: UUID
    causation_id: UUID | None
    correlation_id: UUID
    occurred_at: datetime
    entries: list[EntryRow]


class TransactionRows(Body):
    items: list[TransactionRow]
    next_cursor: str | None


def create_router(database: Database, authenticate: RequirePrincipal) -> APIRouter:
    """The routes of `/api/credits`."""
    router = APIRouter(prefix="/api/credits", tags=["credits"])
    Caller = Annotated[Principal, Depends(authenticate)]  # noqa: N806  # a type, made at start

    @router.get("/balance")
    async def read_balance(caller: Caller) -> Balance:
        """The caller's account, with the lots that have something left."""
        async with database.read() as connection:
            account = await store.find_account(connection, caller.account_id)
        return _balance(account or Account(account_id=caller.account_id))

    @router.get("/transactions")
    async def list_transactions(
        caller: Caller, job_id: JobId = None, limit: Limit = LIMIT_DEFAULT, cursor: Cursor = None
    ) -> TransactionRows:
        """What has moved the caller's account, newest first."""
        async with database.read() as connection:
            found = await store.list_transactions(
                connection,
                caller.account_id,
                job_id=job_id,
                before_version=cursor or VERSION_MAX,
                limit=limit + 1,
            )
        return _page(found, limit)

    return router


def _balance(account: Account) -> Balance:
    return Balance(
        account_id=account.account_id,
        version=account.version,
        settled=account.settled,
        reserved=account.reserved,
        grace=account.grace,
        overdraft=account.overdraft,
        available=account.settled + account.grace - account.reserved,
        lots=[_lot_row(lot) for lot in account.lots],
    )


def _lot_row(lot: Lot) -> LotRow:
    return LotRow(
        lot_id=lot.lot_id,
        wallet=lot.wallet,
        credits=lot.credits,
        remaining=lot.remaining,
        source=lot.source,
        expires_at=lot.expires_at,
    )


def _page(found: Sequence[Transaction], limit: int) -> TransactionRows:
    """One row too many was asked for: it tells that there is a next page."""
    listed = found[:limit]
    has_more = len(found) > limit
    return TransactionRows(
        items=[_transaction_row(each) for each in listed],
        next_cursor=str(listed[-1].account_version) if has_more else None,
    )


def _transaction_row(transaction: Transaction) -> TransactionRow:
    return TransactionRow(
        transaction_id=transaction.transaction_id,
        account_version=transaction.account_version,
        kind=transaction.kind,
        job_id=transaction.job_id,
        settled_after=transaction.settled_after,
        grace_after=transaction.grace_after,
        event_id=transaction.event_id,
        causation_id=transaction.causation_id,
        correlation_id=transaction.correlation_id,
        occurred_at=transaction.occurred_at,
        entries=[
            EntryRow(book=entry.book, lot_id=entry.lot_id, credits=entry.credits)
            for entry in transaction.entries
        ],
    )
