"""Events of the ledger, the only place where a balance is decided.

Each carries the account's version and the absolute settled credits and grace after it, so that a
reader's copy can jump to the newest version whatever it has missed. `settled` counts reserved
credits too. `repaid_lots` are free credits that paid off debt, in the same event that made both
be there at once.
"""

from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from msgspec import Struct

from libs.events.names import EventType, Service, Topic
from libs.events.notifications import NotificationRequested
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
    """A lot was opened, and debt paid off out of it. The first grant opens the account."""

    event_type: ClassVar[EventType] = EventType.CREDITS_GRANTED
    event_version: ClassVar[int] = 2

    lot_id: UUID
    wallet: Wallet
    credits: int
    source: str
    reference: str = ""  # what the source calls it: a payment's id
    expires_at: Moment | None = None
    priority: int = 0  # of lots that end together, lower ones burn first
    is_renewal: bool = False  # the wallet's earlier lots end with this
    reset_at: Moment | None = None  # when they end
    reset_lots: tuple[LotAmount, ...] = ()  # what they had left, forfeited
    repaid_lots: tuple[LotAmount, ...] = ()
    actor: UUID | None = None
    reason: str = ""


class CreditsReserved(JobCreditsEvent, frozen=True, kw_only=True):
    """Credits were set aside for a job: `settled_after` does not change by this."""

    event_type: ClassVar[EventType] = EventType.CREDITS_RESERVED

    credits: int
    lots: tuple[LotAmount, ...]


class CreditsCaptured(JobCreditsEvent, frozen=True, kw_only=True):
    """A job was charged for what it delivered, and the rest of its reservation freed, at once."""

    event_type: ClassVar[EventType] = EventType.CREDITS_CAPTURED
    event_version: ClassVar[int] = 2

    credits: int
    lots: tuple[LotAmount, ...]
    released_credits: int
    released_lots: tuple[LotAmount, ...]
    forfeited_lots: tuple[LotAmount, ...] = ()  # freed too late: these lots have ended
    repaid_lots: tuple[LotAmount, ...] = ()


class CreditsReleased(JobCreditsEvent, frozen=True, kw_only=True):
    """A job's whole reservation was freed (voided): it cost nothing."""

    event_type: ClassVar[EventType] = EventType.CREDITS_RELEASED
    event_version: ClassVar[int] = 2

    released_credits: int
    released_lots: tuple[LotAmount, ...]
    forfeited_lots: tuple[LotAmount, ...] = ()  # freed too late: these lots have ended
    repaid_lots: tuple[LotAmount, ...] = ()


class CreditsReclaimed(CreditsEvent, frozen=True, kw_only=True):
    """A request admitted before a lot's end takes of it what had ended unspent meanwhile."""

    event_type: ClassVar[EventType] = EventType.CREDITS_RECLAIMED

    credits: int
    lots: tuple[LotAmount, ...]


class CreditsExpired(CreditsEvent, frozen=True, kw_only=True):
    """A lot has reached its end: what was neither spent nor reserved is gone."""

    event_type: ClassVar[EventType] = EventType.CREDITS_EXPIRED

    lot_id: UUID
    wallet: Wallet
    credits: int
    ended_at: Moment


class CreditsForfeited(CreditsEvent, frozen=True, kw_only=True):
    """A wallet was ended before its time: what was neither spent nor reserved is gone."""

    event_type: ClassVar[EventType] = EventType.CREDITS_FORFEITED

    wallet: Wallet
    credits: int
    lots: tuple[LotAmount, ...]
    ended_at: Moment
    actor: UUID | None
    reason: str


class CreditsDebited(CreditsEvent, frozen=True, kw_only=True):
    """Credits had to be taken back, whatever was left: what was missing is grace, then debt."""

    event_type: ClassVar[EventType] = EventType.CREDITS_DEBITED

    credits: int
    lots: tuple[LotAmount, ...]
    source: str
    reference: str
    actor: UUID | None
    reason: str


class CreditsDeducted(CreditsEvent, frozen=True, kw_only=True):
    """A deduction that was held at the gateway is booked: its hold is over."""

    event_type: ClassVar[EventType] = EventType.CREDITS_DEDUCTED

    deduction_id: UUID
    credits: int
    lots: tuple[LotAmount, ...]
    actor: UUID
    reason: str

    @property
    def subject(self) -> str:
        return str(self.deduction_id)


class CreditsReversed(CreditsEvent, frozen=True, kw_only=True):
    """An earlier transaction was answered by its opposite; it stays as it is, and is named here.

    Credits that are given back open a lot; credits that are taken back may leave debt. The house's
    books get the opposite of what the reversed transaction gave them, less what requests have
    reclaimed of it meanwhile: no credit is given back twice.
    """

    event_type: ClassVar[EventType] = EventType.CREDITS_REVERSED
    event_version: ClassVar[int] = 2

    reverses: UUID
    credits: int  # given to the owner, or taken if negative
    lot_id: UUID | None  # the lot that was opened
    lots: tuple[LotAmount, ...]  # taken from
    to_world: int
    to_revenue: int
    to_breakage: int
    repaid_lots: tuple[LotAmount, ...]
    restored_lots: tuple[LotAmount, ...] = ()  # their lost credits come back: not to be reclaimed
    actor: UUID
    reason: str


class GraceChanged(CreditsEvent, frozen=True, kw_only=True):
    """The account's overdraft limit is another one: `grace_after`."""

    event_type: ClassVar[EventType] = EventType.GRACE_CHANGED

    grace_before: int
    actor: UUID
    reason: str


class CreditsNotificationRequested(NotificationRequested, frozen=True, kw_only=True):
    """A person is to be told of their credits. It moves none."""

    event_type: ClassVar[EventType] = EventType.CREDITS_NOTIFICATION_REQUESTED
    topic: ClassVar[Topic] = Topic.CREDITS
    writers: ClassVar[tuple[Service, ...]] = (Service.LEDGER,)
