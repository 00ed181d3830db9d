"""Events of billing: usage and money."""

from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from libs.events.credits import Wallet
from libs.events.generation import JobEvent
from libs.events.names import EventType, Service, Topic
from libs.events.payload import Moment, Payload


class UsageOutcome(StrEnum):
    """How the call that a usage row stands for ended."""

    COMPLETED = "completed"
    FAILED = "failed"


class UsageRecorded(JobEvent, frozen=True, kw_only=True):
    """The usage row of a job exists, once per job."""

    event_type: ClassVar[EventType] = EventType.USAGE_RECORDED
    topic: ClassVar[Topic] = Topic.BILLING
    writers: ClassVar[tuple[Service, ...]] = (Service.BILLING,)

    usage_id: UUID
    outcome: UsageOutcome
    credits: int


class PaymentEvent(Payload, frozen=True, kw_only=True):
    """Money moved, and credits are to follow it."""

    topic: ClassVar[Topic] = Topic.BILLING
    writers: ClassVar[tuple[Service, ...]] = (Service.BILLING,)

    payment_id: str  # as its provider calls it: one payment is booked once, however often told
    account_id: UUID
    provider: str
    credits: int
    amount_minor: int  # in the currency's smallest unit
    currency: str  # ISO 4217, lower case

    @property
    def account(self) -> UUID:
        return self.account_id


class PaymentReceived(PaymentEvent, frozen=True, kw_only=True):
    """Credits were bought. A renewal replaces what is left in the subscription wallet."""

    event_type: ClassVar[EventType] = EventType.PAYMENT_RECEIVED

    wallet: Wallet
    expires_at: Moment | None = None
    is_renewal: bool = False

    @property
    def subject(self) -> str:
        return self.payment_id


class RefundKind(StrEnum):
    """Who took the money back."""

    REFUND = "refund"
    DISPUTE = "dispute"


class PaymentRefunded(PaymentEvent, frozen=True, kw_only=True):
    """A payment was given back, in part or whole: its credits must go, whatever is left of them."""

    event_type: ClassVar[EventType] = EventType.PAYMENT_REFUNDED

    refund_id: str
    kind: RefundKind

    @property
    def subject(self) -> str:
        return self.refund_id
