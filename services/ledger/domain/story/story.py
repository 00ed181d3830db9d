"""What one cause led to, in order: a sentence for each event, and one for how it ended."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final, TypeVar
from uuid import UUID

from msgspec import Struct
from msgspec.structs import asdict

from libs.events.causality import causal_order, depths
from libs.events.credits import (
    CreditsCaptured,
    CreditsEvent,
    CreditsReleased,
    CreditsReserved,
    CreditsReversed,
    LotAmount,
)
from libs.events.envelope import Envelope
from libs.events.generation import (
    FailureCode,
    GenerationCompleted,
    GenerationFailed,
    GenerationRequested,
)
from libs.events.names import Topic
from libs.events.payload import Payload
from libs.events.registry import REGISTRY, UndecodableEventError
from services.ledger.domain.story.jobs import WHY_FAILED
from services.ledger.domain.story.sentences import sentence
from services.ledger.domain.story.telling import Telling, credits_, plural

PayloadT = TypeVar("PayloadT", bound=Payload)

NO_WORDS: Final = "This release cannot read what happened."


class Step(Struct, frozen=True, kw_only=True):
    """One event; `depth` is how many causes stand before it."""

    event_id: UUID
    type: str
    at: datetime
    depth: int
    text: str


class Story(Struct, frozen=True, kw_only=True):
    """What one cause led to."""

    correlation_id: UUID
    account_id: UUID | None
    began_at: datetime
    summary: str
    steps: tuple[Step, ...]


def data_of(envelope: Envelope) -> Payload | None:
    """What an event says; None if this release cannot read it."""
    try:
        return REGISTRY.open(envelope).data
    except UndecodableEventError:
        return None


def lots_in(envelopes: Sequence[Envelope]) -> set[UUID]:
    """The lots that events speak of."""
    return {lot_id for each in envelopes for lot_id in _lots_of(data_of(each))}


def _lots_of(data: Payload | None) -> Iterator[UUID]:
    if isinstance(data, CreditsEvent):
        for value in asdict(data).values():
            for each in value if isinstance(value, tuple) else ():
                if isinstance(each, LotAmount) and each.lot_id is not None:
                    yield each.lot_id


def is_for_owner(envelope: Envelope, account_id: UUID | None) -> bool:
    """Whether it concerns the account: what the system did by itself concerns no one."""
    if envelope.accountid is None or envelope.accountid != account_id:
        return False
    data = data_of(envelope)
    return data is None or data.topic is not Topic.OPERATIONS


def tell(envelopes: Sequence[Envelope], telling: Telling) -> Story:
    """The story of at least one event, with what the listener may hear."""
    ordered = causal_order(envelopes)
    first = ordered[0]
    account_id = next((each.accountid for each in ordered if each.accountid), None)
    heard = [each for each in ordered if telling.is_admin or is_for_owner(each, account_id)]
    depth_of = depths(ordered)
    said = [data_of(each) for each in heard]
    steps = tuple(
        Step(
            event_id=envelope.id,
            type=envelope.type,
            at=envelope.time,
            depth=depth_of[envelope.id],
            text=NO_WORDS if data is None else sentence(data, telling),
        )
        for envelope, data in zip(heard, said, strict=True)
    )
    return Story(
        correlation_id=first.correlationid,
        account_id=account_id,
        began_at=first.time,
        summary=summary(said, steps),
        steps=steps,
    )


def summary(said: Sequence[Payload | None], steps: Sequence[Step]) -> str:
    """How a job stands, in a sentence; of what is no job, its beginning."""
    asked = _find(said, GenerationRequested)
    done, failed = _find(said, GenerationCompleted), _find(said, GenerationFailed)
    if done is not None:
        text = f"Completed: {done.delivered_units} of {plural(done.request.units, 'unit')}"
        return f"{text} delivered, {_charged(said)}."
    if failed is not None:
        end = "Cancelled" if failed.code is FailureCode.CANCELLED else "Failed"
        return f"{end}: {WHY_FAILED[failed.code]}; {_charged(said)}."
    if asked is not None:
        reserved = _find(said, CreditsReserved)
        held = "are set aside" if reserved is not None else "are held"
        return f"Not ended yet: {credits_(asked.request.credits_held)} {held}."
    return steps[0].text if steps else NO_WORDS


def _charged(said: Sequence[Payload | None]) -> str:
    charge = _find(said, CreditsCaptured)
    refunds = [each.credits for each in said if isinstance(each, CreditsReversed)]
    later = f", {credits_(sum(refunds))} refunded later" if sum(refunds) > 0 else ""
    if charge is not None:
        return f"{credits_(charge.credits)} charged{later}"
    if _find(said, CreditsReleased) is not None:
        return "nothing charged"
    return "the charge is not booked yet"


def _find(said: Sequence[Payload | None], kind: type[PayloadT]) -> PayloadT | None:
    return next((each for each in said if isinstance(each, kind)), None)
