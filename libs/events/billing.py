"""Events of billing: usage and money."""

from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from msgspec import Struct

from libs.events.credits import Wallet
from libs.events.generation import JobEvent
from libs.events.names import EventType, Service, Topic
from libs.events.operations import OperationsEvent
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


class BillFinding(StrEnum):
    """What a line of a provider's bill turned out to be, or an attempt that it should list."""

    MATCHED = "matched"  # an attempt of ours, at the cost that we recorded
    RESOLVED = "resolved"  # an attempt whose outcome was unknown: now it is known
    REPEATED = "repeated"  # the same line came with an earlier bill; it counts once
    NOT_CHARGED = "not_charged"  # an attempt of unknown outcome that is not listed
    COST_DIFFERS = "cost_differs"  # an attempt of ours, at another cost
    ZERO_COST = "zero_cost"  # charged with nothing, although it should have cost something
    DOUBLED = "doubled"  # listed before, on this bill or an earlier one
    UNKNOWN_ATTEMPT = "unknown_attempt"  # nothing of ours
    MISSING = "missing"  # an attempt of ours that is not listed

    @property
    def is_flagged(self) -> bool:
        """Whether somebody should look at it."""
        return self in FLAGGED


FLAGGED = frozenset({
    BillFinding.COST_DIFFERS,
    BillFinding.ZERO_COST,
    BillFinding.DOUBLED,
    BillFinding.UNKNOWN_ATTEMPT,
    BillFinding.MISSING,
})  # fmt: skip


class BillEntry(Struct, frozen=True, kw_only=True, gc=False, forbid_unknown_fields=True):
    """A line of a bill with what it was found to be; without a line, an attempt it does not list.

    `own_microusd` is what we had recorded, counted once however often it is listed.
    """

    line: int | None  # in the file, its header being 1
    reference: str
    at: Moment
    model: str
    amount_microusd: int
    status: str
    finding: BillFinding
    attempt_id: UUID | None = None
    own_microusd: int = 0


class ProviderBillImported(OperationsEvent, frozen=True, kw_only=True):
    """A provider's bill, or its list of usage, was compared with our attempts.

    A long one is told in parts, all in one transaction; each repeats what holds of the whole.
    """

    event_type: ClassVar[EventType] = EventType.PROVIDER_BILL_IMPORTED
    writers: ClassVar[tuple[Service, ...]] = (Service.BILLING,)

    bill_id: UUID
    provider: str
    file_name: str
    sha256: str  # of the file, lower-case hex
    actor: UUID  # the administrator
    since: Moment  # what the bill covers, its ends included
    until: Moment
    lines: int
    billed_microusd: int  # the sum of its lines, repeated ones left out
    own_microusd: int  # what we had recorded for the same
    findings: dict[BillFinding, int]  # how many there are of each
    part: int
    parts: int
    place: int  # of the first entry in the whole
    entries: tuple[BillEntry, ...]

    @property
    def subject(self) -> str:
        return str(self.bill_id)
