"""One sentence for each type of event. A type that is missing here fails a test."""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from libs.events import billing, gallery, generation, identity, operations
from libs.events import credits as money
from libs.events.payload import Payload
from services.ledger.domain.story import credits as of_credits
from services.ledger.domain.story import jobs, people, pictures
from services.ledger.domain.story import operations as of_operations
from services.ledger.domain.story.telling import Telling

Say: TypeAlias = Callable[[Any, Telling], str]

SENTENCES: Final[Mapping[type[Payload], Say]] = {
    identity.UserRegistered: people.registered,
    identity.AccountErased: people.erased,
    identity.UserBanned: people.banned,
    identity.UserUnbanned: people.unbanned,
    identity.SessionsRevoked: people.sessions_revoked,
    identity.ApiKeyCreated: people.key_created,
    identity.ApiKeyRevoked: people.key_revoked,
    identity.LimitChanged: people.limit_changed,
    identity.WorkspaceCreated: people.workspace_created,
    identity.DeductionRequested: of_credits.deduction_requested,
    generation.GenerationRequested: jobs.requested,
    generation.GenerationCancelRequested: jobs.cancel_requested,
    generation.GenerationStarted: jobs.started,
    generation.GenerationAttemptEnded: jobs.attempt_ended,
    generation.GenerationCompleted: jobs.completed,
    generation.GenerationFailed: jobs.failed,
    money.CreditsGranted: of_credits.granted,
    money.CreditsReserved: of_credits.reserved,
    money.CreditsCaptured: of_credits.captured,
    money.CreditsReleased: of_credits.released,
    money.CreditsReclaimed: of_credits.reclaimed,
    money.CreditsExpired: of_credits.expired,
    money.CreditsForfeited: of_credits.forfeited,
    money.CreditsDebited: of_credits.debited,
    money.CreditsDeducted: of_credits.deducted,
    money.CreditsReversed: of_credits.reversed_,
    money.GraceChanged: of_credits.grace_changed,
    money.CreditsNotificationRequested: of_credits.notification_requested,
    gallery.GalleryItemsAdded: jobs.items_added,
    gallery.GalleryItemUploaded: pictures.uploaded,
    gallery.GalleryItemChanged: pictures.changed,
    gallery.GalleryItemDeleted: pictures.deleted,
    gallery.GalleryItemLiked: pictures.liked,
    gallery.GalleryThumbnailMade: pictures.thumbnail_made,
    billing.UsageRecorded: jobs.usage_recorded,
    billing.PaymentReceived: of_credits.payment_received,
    billing.PaymentRefunded: of_credits.payment_refunded,
    operations.ProviderCircuitChanged: of_operations.circuit_changed,
    operations.MessageParked: of_operations.parked,
    operations.MessageRedriven: of_operations.redriven,
    operations.MessageDiscarded: of_operations.discarded,
    operations.PriceBookAdded: of_operations.price_book_added,
    operations.LogSealed: of_operations.log_sealed,
    billing.ProviderBillImported: of_operations.bill_imported,
}


def sentence(data: Payload, telling: Telling) -> str:
    """What an event says, to whom it is told."""
    return SENTENCES[type(data)](data, telling)
