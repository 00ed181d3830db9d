"""Every string that Kafka sees: topics, event types, consumer groups, headers."""

from enum import StrEnum
from uuid import NAMESPACE_URL, UUID, uuid5


class Topic(StrEnum):
    """Streams kept for ever, keyed by account (operations: by subject); progress is short-lived."""

    IDENTITY = "daygen.identity"
    GENERATION = "daygen.generation"
    CREDITS = "daygen.credits"
    GALLERY = "daygen.gallery"
    BILLING = "daygen.billing"
    OPERATIONS = "daygen.operations"
    PROGRESS = "daygen.progress"

    @property
    def dead_letters(self) -> str:
        """The topic's twin for messages that a consumer has parked."""
        return dead_letters_of(self.value)

    @property
    def is_kept(self) -> bool:
        """Whether the stream is history (unlimited retention) rather than a passing signal."""
        return self is not Topic.PROGRESS


def dead_letters_of(topic: str) -> str:
    """Name of a topic's dead-letter twin."""
    return f"{topic}.dlq"


def kept_topics() -> tuple[str, ...]:
    """Every topic that is history, and its dead-letter twin."""
    kept = [topic for topic in Topic if topic.is_kept]
    return tuple(name for topic in kept for name in (topic.value, topic.dead_letters))


class EventType(StrEnum):
    """CloudEvents `type` of each event: noun, then past verb. Never renamed once published."""

    USER_REGISTERED = "daygen.user.registered"
    ACCOUNT_ERASED = "daygen.account.erased"
    USER_BANNED = "daygen.user.banned"
    USER_UNBANNED = "daygen.user.unbanned"
    SESSIONS_REVOKED = "daygen.sessions.revoked"
    API_KEY_CREATED = "daygen.api_key.created"
    API_KEY_REVOKED = "daygen.api_key.revoked"
    LIMIT_CHANGED = "daygen.limit.changed"
    WORKSPACE_CREATED = "daygen.workspace.created"
    DEDUCTION_REQUESTED = "daygen.deduction.requested"
    GENERATION_REQUESTED = "daygen.generation.requested"
    GENERATION_CANCEL_REQUESTED = "daygen.generation.cancel_requested"
    GENERATION_STARTED = "daygen.generation.started"
    GENERATION_ATTEMPT_ENDED = "daygen.generation.attempt_ended"
    GENERATION_COMPLETED = "daygen.generation.completed"
    GENERATION_FAILED = "daygen.generation.failed"
    CREDITS_GRANTED = "daygen.credits.granted"
    CREDITS_RESERVED = "daygen.credits.reserved"
    CREDITS_CAPTURED = "daygen.credits.captured"
    CREDITS_RELEASED = "daygen.credits.released"
    CREDITS_RECLAIMED = "daygen.credits.reclaimed"
    CREDITS_EXPIRED = "daygen.credits.expired"
    CREDITS_FORFEITED = "daygen.credits.forfeited"
    CREDITS_DEBITED = "daygen.credits.debited"
    CREDITS_DEDUCTED = "daygen.credits.deducted"
    CREDITS_REVERSED = "daygen.credits.reversed"
    GRACE_CHANGED = "daygen.credits.grace_changed"
    CREDITS_NOTIFICATION_REQUESTED = "daygen.credits.notification_requested"
    GALLERY_ITEMS_ADDED = "daygen.gallery.items_added"
    GALLERY_ITEM_UPLOADED = "daygen.gallery.item_uploaded"
    GALLERY_ITEM_CHANGED = "daygen.gallery.item_changed"
    GALLERY_ITEM_DELETED = "daygen.gallery.item_deleted"
    GALLERY_ITEM_LIKED = "daygen.gallery.item_liked"
    GALLERY_THUMBNAIL_MADE = "daygen.gallery.thumbnail_made"
    USAGE_RECORDED = "daygen.usage.recorded"
    PROVIDER_CIRCUIT_CHANGED = "daygen.provider.circuit_changed"
    PAYMENT_RECEIVED = "daygen.payment.received"
    PAYMENT_REFUNDED = "daygen.payment.refunded"
    MESSAGE_PARKED = "daygen.message.parked"
    MESSAGE_REDRIVEN = "daygen.message.redriven"
    MESSAGE_DISCARDED = "daygen.message.discarded"
    PRICE_BOOK_ADDED = "daygen.price_book.added"
    LOG_SEALED = "daygen.log.sealed"
    PROVIDER_BILL_IMPORTED = "daygen.provider_bill.imported"


class Service(StrEnum):
    """The services; a name is also the Postgres schema and the stem of the consumer group."""

    GATEWAY = "gateway"
    GENERATION = "generation"
    LEDGER = "ledger"
    GALLERY = "gallery"
    BILLING = "billing"

    @property
    def source(self) -> str:
        """CloudEvents `source` of what the service publishes."""
        return f"/daygen/{self.value}"

    @property
    def actor_id(self) -> UUID:
        """Who acted, where an event names an actor and the service did it by itself."""
        return uuid5(NAMESPACE_URL, f"urn:daygen:service:{self.value}")

    @property
    def consumer_group(self) -> str:
        """Kafka consumer group of the service's projections."""
        return f"daygen.{self.value}"


TRAIL_GROUP = f"{Service.LEDGER.consumer_group}.trail"
"""Consumer group of the trail, beside the ledger's own."""
LOG_GROUP = f"{Service.LEDGER.consumer_group}.log"
"""Whose positions say how far the ledger's log is sealed: it is read in no group of Kafka's."""

HEADER_CONTENT_TYPE = "content-type"
HEADER_DEAD_LETTER_CONSUMER = "daygen-consumer"
HEADER_DEAD_LETTER_REASON = "daygen-reason"
CONTENT_TYPE_CLOUDEVENT = b"application/cloudevents+json; charset=UTF-8"
