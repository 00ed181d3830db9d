"""How a job's state follows from what the services say of it, in whatever order they are heard.

The state keeps what each service has said, once; status, stage and progress follow from that. So
any interleaving of the same events, with any repeats, ends in the same state.
"""

from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from libs.events.billing import UsageRecorded
from libs.events.credits import CreditsCaptured, CreditsReleased
from libs.events.gallery import GalleryItemsAdded
from libs.events.generation import (
    FailureCode,
    GenerationCompleted,
    GenerationFailed,
    GenerationStarted,
    StoredImage,
)
from libs.events.payload import Payload


class Status(StrEnum):
    """What a client compares with, letter by letter."""

    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


FINAL: Final = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})


class Stage(StrEnum):
    """What happens to a job, for people."""

    QUEUED = "queued"
    GENERATING = "generating"
    FINALISING = "finalising"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


PROGRESS_STARTED: Final = 10
PROGRESS_CONFIRMED: Final = (0, 80, 85, 90, 95)  # by the number of services that have confirmed
PROGRESS_FINAL: Final = 100


class Answer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What generation answered: the job's outcome, and what was made."""

    outcome: Status
    at: datetime
    images: tuple[StoredImage, ...] = ()
    texts: tuple[str, ...] = ()
    delivered_units: int = 0
    tokens: int = 0
    seed: int | None = None
    failure_code: FailureCode | None = None
    failure_message: str | None = None


class ChargeKind(StrEnum):
    """How the ledger closed a reservation."""

    CAPTURED = "captured"
    RELEASED = "released"


class Charge(Struct, frozen=True, kw_only=True):
    """What the ledger charged in the end."""

    kind: ChargeKind
    at: datetime
    credits: int


class Listing(Struct, frozen=True, kw_only=True):
    """The gallery's entries of the job."""

    at: datetime
    item_ids: tuple[UUID, ...]


class JobState(Struct, frozen=True, kw_only=True):
    """Everything about a job that events may change."""

    status: Status = Status.PENDING
    stage: Stage = Stage.QUEUED
    progress: int = 0
    answer: Answer | None = None
    charge: Charge | None = None
    listing: Listing | None = None
    recorded_at: datetime | None = None

    @property
    def is_final(self) -> bool:
        return self.status in FINAL

    @property
    def shown_images(self) -> tuple[StoredImage, ...]:
        """Pictures that can be fetched: the gallery serves what it has listed."""
        return self.answer.images if self.answer is not None and self.listing is not None else ()

    @property
    def finished_at(self) -> datetime | None:
        """When the last of what the outcome waits for happened."""
        if not self.is_final or self.answer is None or self.charge is None:
            return None
        times = [self.answer.at, self.charge.at]
        if self.status is Status.COMPLETED:
            times += [each for each in (self.listing and self.listing.at, self.recorded_at) if each]
        return max(times)


def evolve(state: JobState, event: Payload, at: datetime) -> JobState:
    """The state after one more event about the job."""
    return settle(learn(state, event, at))


def learn(state: JobState, event: Payload, at: datetime) -> JobState:
    """Keep what the event says, unless its sender has said it before under another event id."""
    learned = state
    match event:
        case GenerationStarted() if state.status is Status.PENDING:
            learned = replace(
                state,
                status=Status.PROCESSING,
                stage=Stage.GENERATING,
                progress=max(state.progress, PROGRESS_STARTED),
            )
        case GenerationCompleted() | GenerationFailed() if state.answer is None:
            learned = replace(state, answer=answer_of(event, at))
        case CreditsCaptured() if state.charge is None:
            charge = Charge(kind=ChargeKind.CAPTURED, at=at, credits=event.credits)
            learned = replace(state, charge=charge)
        case CreditsReleased() if state.charge is None:
            learned = replace(state, charge=Charge(kind=ChargeKind.RELEASED, at=at, credits=0))
        case GalleryItemsAdded() if state.listing is None:
            learned = replace(state, listing=Listing(at=at, item_ids=event.item_ids))
        case UsageRecorded() if state.recorded_at is None:
            learned = replace(state, recorded_at=at)
    return learned


def answer_of(event: GenerationCompleted | GenerationFailed, at: datetime) -> Answer:
    """Generation's answer as the job keeps it."""
    if isinstance(event, GenerationCompleted):
        return Answer(
            outcome=Status.COMPLETED,
            at=at,
            images=event.images,
            texts=event.texts,
            delivered_units=event.delivered_units,
            tokens=event.input_tokens + event.output_tokens,
            seed=event.seed,
        )
    cancelled = event.code is FailureCode.CANCELLED
    return Answer(
        outcome=Status.CANCELLED if cancelled else Status.FAILED,
        at=at,
        failure_code=event.code,
        failure_message=event.message,
    )


def settle(state: JobState) -> JobState:
    """Status, stage and progress as they follow from what is known. A final state stays."""
    confirmed = sum(
        each is not None for each in (state.answer, state.charge, state.listing, state.recorded_at)
    )
    if state.is_final or not confirmed:
        return state
    if state.answer is not None and may_end(state, state.answer):
        outcome = state.answer.outcome
        stage = Stage(outcome.value.lower())
        return replace(state, status=outcome, stage=stage, progress=PROGRESS_FINAL)
    return replace(
        state,
        status=Status.PROCESSING,
        stage=Stage.FINALISING,
        progress=max(state.progress, PROGRESS_CONFIRMED[confirmed]),
    )


def as_of(state: JobState, moment: datetime) -> JobState:
    """The state as the events until then had made it.

    That somebody works on it is a passing signal and not history: it leaves no trace here.
    """
    known = [
        None if each is None or each.at > moment else each
        for each in (state.answer, state.charge, state.listing)
    ]
    recorded = state.recorded_at
    then = JobState(recorded_at=None if recorded is None or recorded > moment else recorded)
    answer, charge, listing = known
    return settle(replace(then, answer=answer, charge=charge, listing=listing))


def may_end(state: JobState, answer: Answer) -> bool:
    """COMPLETED means charged, listed and recorded; FAILED and CANCELLED, that nothing is held.

    Answer and charge arrive by different topics: whichever comes last ends the job.
    """
    if state.charge is None:
        return False
    if answer.outcome is not Status.COMPLETED:
        return state.charge.kind is ChargeKind.RELEASED
    is_charged = state.charge.kind is ChargeKind.CAPTURED
    return is_charged and state.listing is not None and state.recorded_at is not None
