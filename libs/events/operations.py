"""Events without an account: what operators and the system itself did."""

from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from msgspec import Struct

from libs.events.names import EventType, Service, Topic
from libs.events.payload import Moment, Payload


class OperationsEvent(Payload, frozen=True, kw_only=True):
    """Something of no account: its subject is its key."""

    topic: ClassVar[Topic] = Topic.OPERATIONS
    writers: ClassVar[tuple[Service, ...]] = tuple(Service)

    @property
    def account(self) -> None:
        return None


class MessageParked(OperationsEvent, frozen=True, kw_only=True):
    """A consumer could not handle a message and set it aside; its stream goes on."""

    event_type: ClassVar[EventType] = EventType.MESSAGE_PARKED

    consumer: str
    parked_id: UUID
    message_topic: str
    message_partition: int
    message_offset: int
    reason: str
    detail: str

    @property
    def subject(self) -> str:
        return str(self.parked_id)


class RedriveOutcome(StrEnum):
    """What became of a parked message when its consumer's handler was run again."""

    APPLIED = "applied"
    REPEATED = "repeated"  # the same event has been handled before, under another offset
    SKIPPED = "skipped"  # of a type that the consumer does not handle
    STILL_PARKED = "still_parked"  # refused again: `reason` is the new one


class MessageRedriven(OperationsEvent, frozen=True, kw_only=True):
    """A parked message was handled again: for an administrator, or by a release that knows it."""

    event_type: ClassVar[EventType] = EventType.MESSAGE_REDRIVEN

    consumer: str
    parked_id: UUID
    event_id: UUID | None
    actor: UUID  # the administrator, or the service's own `actor_id`
    outcome: RedriveOutcome
    reason: str = ""
    detail: str = ""

    @property
    def subject(self) -> str:
        return str(self.parked_id)


class MessageDiscarded(OperationsEvent, frozen=True, kw_only=True):
    """An administrator decided that a parked message is never handled."""

    event_type: ClassVar[EventType] = EventType.MESSAGE_DISCARDED

    consumer: str
    parked_id: UUID
    event_id: UUID | None
    actor: UUID  # the administrator
    reason: str  # the administrator's own words

    @property
    def subject(self) -> str:
        return str(self.parked_id)


class Circuit(StrEnum):
    """Whether calls of a provider are made."""

    CLOSED = "closed"
    OPEN = "open"  # none is: it fails, and its jobs wait
    HALF_OPEN = "half_open"  # one is, to try


class ProviderCircuitChanged(OperationsEvent, frozen=True, kw_only=True):
    """Calls of a picture provider were stopped, tried again, or set free."""

    event_type: ClassVar[EventType] = EventType.PROVIDER_CIRCUIT_CHANGED
    writers: ClassVar[tuple[Service, ...]] = (Service.GENERATION,)

    provider: str
    state: Circuit
    failures: int  # in a row
    reason: str = ""  # the last failure's code
    retry_at: Moment | None = None

    @property
    def subject(self) -> str:
        return self.provider


class PriceBookAdded(OperationsEvent, frozen=True, kw_only=True):
    """An administrator added prices; from that instant of the gateway's database they hold."""

    event_type: ClassVar[EventType] = EventType.PRICE_BOOK_ADDED
    writers: ClassVar[tuple[Service, ...]] = (Service.GATEWAY,)

    version: int
    sha256: str  # of `body`, lower-case hex
    effective_from: Moment
    body: str  # the file as it was added
    actor: UUID  # the administrator

    @property
    def subject(self) -> str:
        return f"price-book-{self.version}"


class SealedLeaf(Struct, frozen=True, kw_only=True, gc=False, forbid_unknown_fields=True):
    """A credits event in the ledger's log; `hash` is of its canonical JSON (RFC 8785, RFC 9162)."""

    event_id: UUID
    hash: str  # base64


class LogSealed(OperationsEvent, frozen=True, kw_only=True):
    """The ledger has appended credits events to its Merkle log; it is their order, for ever."""

    event_type: ClassVar[EventType] = EventType.LOG_SEALED
    writers: ClassVar[tuple[Service, ...]] = (Service.LEDGER,)

    position: int  # of the first leaf, and so the size of the tree before
    size: int  # of the tree with these leaves
    root: str  # of that tree, base64
    leaves: tuple[SealedLeaf, ...]

    @property
    def subject(self) -> str:
        return "ledger-log"
