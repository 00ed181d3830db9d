"""What a receipt says of a job: facts of generation's answer, without its words."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from libs.events.envelope import Event
from libs.events.generation import GenerationCompleted, GenerationFailed
from libs.proofs import receipts
from libs.proofs.receipts import Receipt
from services.ledger.domain.postings import TransactionKind

PromptHash = Callable[[str], bytes]
"""A keyed hash: who has the key and the prompt can say whether they belong together."""


class AnsweredJob(Struct, frozen=True, kw_only=True):
    """A job as generation has answered it."""

    job: receipts.Job
    requested_at: str | None
    answered_at: str


def answered_job(
    event: Event[GenerationCompleted | GenerationFailed], hash_of: PromptHash | None
) -> AnsweredJob:
    """The facts in an answer; without `hash_of` its words are gone."""
    data = event.data
    job = _delivered(data) if isinstance(data, GenerationCompleted) else _failed(data)
    request = data.request
    if request is None:  # nobody could read it: its account and job are all that is known
        return AnsweredJob(job=job, requested_at=None, answered_at=_time(event.time))
    job = replace(
        job,
        user_id=str(request.user_id),
        workspace_id=None if request.workspace_id is None else str(request.workspace_id),
        provider=request.provider,
        model=request.model,
        operation=request.operation,
        units=request.units,
        unit_credits=request.unit_credits,
        price_book_version=request.price_book_version,
        prompt_hash=None if hash_of is None else f"hmac-sha256:{hash_of(request.prompt).hex()}",
    )
    return AnsweredJob(
        job=job, requested_at=_time(request.requested_at), answered_at=_time(event.time)
    )


def _delivered(data: GenerationCompleted) -> receipts.Job:
    return receipts.Job(
        job_id=str(data.job_id),
        account_id=str(data.account_id),
        outcome="completed",
        delivered_units=data.delivered_units,
        images=tuple(
            receipts.Image(
                sha256=each.sha256, content_type=each.content_type, size_bytes=each.size_bytes
            )
            for each in data.images
        ),
    )


def _failed(data: GenerationFailed) -> receipts.Job:
    return receipts.Job(
        job_id=str(data.job_id),
        account_id=str(data.account_id),
        outcome="failed",
        failure_code=data.code.value,
    )


class Move(Struct, frozen=True, kw_only=True):
    """A transaction of a job, with its leaf in the log."""

    kind: TransactionKind
    position: int
    event: Mapping[str, Any]  # as it stands on Kafka
    proof: Sequence[str]


class Sealed(Struct, frozen=True, kw_only=True):
    """The seal that both leaves are under."""

    origin: str
    checkpoint: str
    event_id: UUID
    sealed_at: datetime


def compose(job: AnsweredJob, reserved: Move, closed: Move, sealed: Sealed) -> Receipt:
    """The receipt of a closed job."""
    taken, given = reserved.event["data"], closed.event["data"]
    return Receipt(
        type=receipts.TYPE,
        version=receipts.VERSION,
        job=job.job,
        credits=receipts.Credits(
            held=taken["credits"],
            captured=given["credits"] if closed.kind is TransactionKind.CAPTURE else 0,
            released=given["released_credits"],
        ),
        events=receipts.Events(
            requested=reserved.event.get("causationid"),
            reserved=reserved.event["id"],
            answered=closed.event.get("causationid"),
            closed=closed.event["id"],
            sealed=str(sealed.event_id),
        ),
        times=receipts.Times(
            requested_at=job.requested_at,
            reserved_at=reserved.event["time"],
            answered_at=job.answered_at,
            closed_at=closed.event["time"],
            sealed_at=_time(sealed.sealed_at),
        ),
        log=receipts.Log(
            origin=sealed.origin,
            checkpoint=sealed.checkpoint,
            entries=(_entry(reserved), _entry(closed)),
        ),
    )


def _entry(move: Move) -> receipts.LogEntry:
    return receipts.LogEntry(
        position=move.position, event=dict(move.event), proof=tuple(move.proof)
    )


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
