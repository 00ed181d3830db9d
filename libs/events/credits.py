"""Events of the ledger, the only place where a balance is decided.

Each carries the account's version and the absolute settled credits and grace after it, so that a
reader's copy can jump to the newest version whatever it has missed. `settled` counts reserved
credits too.
"""

from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from msgspec import Struct

from libs.events.names import EventType, Service, Topic
from libs.events.payload import Moment, Payload


class Wallet(StrEnum):
    """Kinds of lots."""

    SUBSCRIPTION = "subscription"
    TOPUP = "topup"
    PROMO = "promo"


class LotAmount(Struct, frozen=True, kw_only=True, gc=False, forbid_unknown_fields=True):
    """Credits out of, or back into, one lot. Without a lot they are overdraft: grace, then debt."""

    lot_id: UUID | None
    credits: int


class CreditsEvent(Payload, frozen=True, kw_only=True):
    """An account changed."""

    topic: ClassVar[Topic] = Topic.CREDITS
    writers: ClassVar[tuple[Service, ...]] = (Service.LEDGER,)

    account_id: UUID
    account_version: int
    settled_after: int
    grace_after: int
    transaction_id: UUID

    @property
    def subject(self) -> str:
        return str(self.account_id)

    @property
    def account(self) -> UUID:
        return self.account_id


class JobCreditsEvent(CreditsEvent, frozen=True, kw_only=True):
    """An account changed because of a job."""

    job_id: UUID

    @property
    def subject(self) -> str:
        return str(self.job_id)


class CreditsGranted(CreditsEvent, frozen=True, kw_only=True):
    """A lot was opened. The first grant of an account opens the account."""

    event_type: ClassVar[EventType] = EventType.CREDITS_GRANTED

    lot_id: UUID
    wallet: Wallet
    credits: int
    source: str
    expires_at: Moment | None = None


class CreditsReserved(JobCreditsEvent, frozen=True, kw_only=True):
    """Credits were set aside for a job: `settled_after` does not change by this."""

    event_type: ClassVar[EventType] = EventType.CREDITS_RESERVED

    credits: int
    lots: tuple[LotAmount, ...]


class CreditsCaptured(JobCreditsEvent, frozen=True, kw_only=True):
    """A job was charged for what it delivered, and the rest of its reservation freed, at once."""

    event_type: ClassVar[EventType] = EventType.CREDITS_CAPTURED

    credits: int
    lots: tuple[LotAmount, ...]
    released_credits: int
    released_lots: tuple[LotAmount, ...]


class CreditsReleased(JobCreditsEvent, frozen=True, kw_only=True):
    """A job's whole reservation was freed (voided): it cost nothing."""

    event_type: ClassVar[EventType] = EventType.CREDITS_RELEASED

    released_credits: int
    released_lots: tuple[LotAmount, ...]
