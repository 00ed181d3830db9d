"""What an account holds, held at any time, and what has moved it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from msgspec import Struct
from msgspec.structs import asdict

from libs.events.credits import Wallet
from libs.runtime.auth import Principal, RequirePrincipal
from libs.runtime.clock import Clock
from libs.runtime.db import Connection, Database
from libs.runtime.errors import BadRequest, Forbidden
from libs.runtime.http.as_of import past_by
from libs.runtime.http.bodies import Body
from services.ledger.domain.account import Account
from services.ledger.domain.lots import Lot
from services.ledger.domain.postings import Book, Transaction, TransactionKind
from services.ledger.store import history

LIMIT_DEFAULT = 50
LIMIT_MAX = 200
VERSION_MAX = 2**63 - 1

JobId = Annotated[UUID | None, Query(alias="jobId", description="Only what this job moved.")]
Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX)]
AsOfVersion = Annotated[
    int | None,
    Query(
        alias="asOfVersion",
        ge=0,
        le=VERSION_MAX,
        description="As it stood at this ledger position.",
    ),
]
AccountId = Annotated[
    UUID | None, Query(alias="accountId", description="Another's account, for administrators.")
]
Cursor = Annotated[
    int | None, Query(ge=1, le=VERSION_MAX, description="`nextCursor` of the page before.")
]


class TwoTimesError(BadRequest):
    code = "invalid_request"

    def __init__(self) -> None:
        super().__init__("Give asOf or asOfVersion, not both.")


class LotRow(Body):
    """Credits that came together."""

    lot_id: UUID
    wallet: Wallet
    credits: int
    remaining: int
    source: str
    expires_at: datetime | None
    priority: int


class Balance(Body):
    """An account. Version 0: the ledger has not opened it yet, the figures are still to come.

    `overdraft` is what was taken beyond the lots, at most 0; `debt` is what of it goes beyond the
    grace. In `wallets` are credits that are free to spend.
    """

    account_id: UUID
    version: int
    settled: int
    reserved: int
    grace: int
    overdraft: int
    debt: int
    available: int
    wallets: dict[Wallet, int]
    lots: list[LotRow]


class EntryRow(Body):
    """Credits into a book, or out of it if negative."""

    book: Book
    lot_id: UUID | None
    credits: int


class RemarkRow(Body):
    """Who or what asked for a transaction that no job has caused."""

    source: str
    reference: str
    actor: UUID | None
    reason: str
    reverses: UUID | None


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
    remark: RemarkRow | None


class TransactionRows(Body):
    items: list[TransactionRow]
    next_cursor: str | None


def create_router(database: Database, clock: Clock, authenticate: RequirePrincipal) -> APIRouter:
    """The routes of `/api/credits`."""
    router = APIRouter(prefix="/api/credits", tags=["credits"])
    Caller = Annotated[Principal, Depends(authenticate)]  # noqa: N806  # a type, made at start
    AsOf = Annotated[datetime | None, Depends(past_by(clock))]  # noqa: N806  # as above

    @router.get("/balance")
    async def read_balance(
        caller: Caller,
        as_of: AsOf,
        as_of_version: AsOfVersion = None,
        account_id: AccountId = None,
    ) -> Balance:
        """An account now, or as it stood, with the lots that have something left."""
        moment = Moment(_account_of(caller, account_id), as_of, as_of_version)
        async with database.read() as connection:
            return _balance(await moment.find(connection))

    @router.get("/transactions")
    async def list_transactions(
        caller: Caller,
        job_id: JobId = None,
        limit: Limit = LIMIT_DEFAULT,
        cursor: Cursor = None,
        account_id: AccountId = None,
    ) -> TransactionRows:
        """What has moved an account, newest first."""
        async with database.read() as connection:
            found = await history.list_transactions(
                connection,
                _account_of(caller, account_id),
                job_id=job_id,
                before_version=cursor or VERSION_MAX,
                limit=limit + 1,
            )
        return _page(found, limit)

    return router


class Moment(Struct, frozen=True):
    """An account, and when it is looked at."""

    account_id: UUID
    as_of: datetime | None
    as_of_version: int | None

    async def find(self, connection: Connection) -> Account:
        if self.as_of is not None and self.as_of_version is not None:
            raise TwoTimesError
        if self.as_of is None and self.as_of_version is None:
            found = await history.find_account(connection, self.account_id)
        else:
            found = await history.find_account_as_of(
                connection, self.account_id, at=self.as_of, version=self.as_of_version
            )
        return found or Account(account_id=self.account_id)


def _account_of(caller: Principal, account_id: UUID | None) -> UUID:
    if account_id is None or account_id == caller.account_id:
        return caller.account_id
    if not caller.is_admin:
        raise Forbidden("Only an administrator may look at another's account.")
    return account_id


def _balance(account: Account) -> Balance:
    wallets = dict.fromkeys(Wallet, 0)
    for lot in account.lots:
        wallets[lot.wallet] += lot.remaining
    return Balance(
        account_id=account.account_id,
        version=account.version,
        settled=account.settled,
        reserved=account.reserved,
        grace=account.grace,
        overdraft=account.overdraft,
        debt=max(0, -account.overdraft - account.grace),
        available=account.settled + account.grace - account.reserved,
        wallets=wallets,
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
        priority=lot.priority,
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
    remark = transaction.remark
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
        remark=None if remark is None else RemarkRow(**asdict(remark)),
    )
