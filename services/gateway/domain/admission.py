"""Whether a request is admitted, from what the database says under its locks.

The order is fixed: ban, repeat, credit, limit.
"""

from datetime import datetime, timedelta
from typing import TypeAlias
from uuid import UUID

from msgspec import Struct

from services.gateway.domain.credits import AccountCopy
from services.gateway.domain.limits import Exceeded, Limit, spend
from services.gateway.domain.orders import Order
from services.gateway.domain.pricing import PriceBook, unit_credits


class Earlier(Struct, frozen=True, kw_only=True, gc=False):
    """What was accepted under the same idempotency key."""

    job_id: UUID
    fingerprint: bytes


class Terms(Struct, frozen=True, kw_only=True):
    """The state that an admission depends on, at one instant of the database's clock."""

    now: datetime
    is_banned: bool
    account: AccountCopy
    limit_drained_at: datetime
    book: PriceBook
    book_version: int
    earlier: Earlier | None


class Admitted(Struct, frozen=True, kw_only=True):
    """The job may start at this price."""

    unit_credits: int
    units: int
    book_version: int
    limit_drained_at: datetime

    @property
    def credits(self) -> int:
        return self.unit_credits * self.units


class Repeated(Struct, frozen=True):
    """The same request was accepted before: this is its job."""

    job_id: UUID


class KeyReused(Struct, frozen=True):
    """Another request was accepted under the same key."""


class Banned(Struct, frozen=True):
    """The user may not generate."""


class CreditsShort(Struct, frozen=True, kw_only=True):
    """The account has fewer credits to offer than the job costs."""

    needed: int
    available: int


class TooMany(Struct, frozen=True):
    """The user's allowance is used up for this long."""

    retry_after: timedelta


Refusal: TypeAlias = KeyReused | Banned | CreditsShort | TooMany
Decision: TypeAlias = Admitted | Repeated | Refusal


def decide(order: Order, fingerprint: bytes, terms: Terms, limit: Limit) -> Decision:
    """Admit, join the job of an earlier equal request, or refuse."""
    if terms.is_banned:
        return Banned()
    if terms.earlier is not None:
        same = terms.earlier.fingerprint == fingerprint
        return Repeated(terms.earlier.job_id) if same else KeyReused()
    price = unit_credits(terms.book, order.operation)
    needed = price * order.units
    # A job that costs nothing is refused too while the account is in debt.
    if terms.account.available < needed:
        return CreditsShort(needed=needed, available=terms.account.available)
    spent = spend(limit, terms.limit_drained_at, terms.now)
    if isinstance(spent, Exceeded):
        return TooMany(spent.retry_after)
    return Admitted(
        unit_credits=price,
        units=order.units,
        book_version=terms.book_version,
        limit_drained_at=spent.drained_at,
    )
