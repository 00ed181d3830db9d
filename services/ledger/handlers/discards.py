"""Requests that an administrator gives up: their jobs are closed all the same, by their answers."""

from collections.abc import Sequence
from uuid import UUID

from libs.events.envelope import Envelope, Event
from libs.events.generation import GenerationCompleted, GenerationFailed
from libs.events.names import EventType
from libs.events.payload import Payload
from libs.events.registry import REGISTRY, UndecodableEventError
from libs.runtime import waiting
from libs.runtime.db import Transaction
from libs.runtime.deadletters import Discarded, DiscardRefusedError, ParkedRow, Settle
from services.ledger import store
from services.ledger.domain.decide import job_key
from services.ledger.domain.discards import Answer, reservation_by
from services.ledger.domain.errors import LedgerError
from services.ledger.domain.fold import Input
from services.ledger.handlers.booking import carry_out

UNANSWERED = (
    "The job's answer, which says what to reserve, has not come yet: discard the request at "
    "generation first, if it is parked there too."
)
NOT_OPEN = "The account is not open yet: redrive its registration first."


def create_settle(others: Settle) -> Settle:
    """Requests are settled here; `others` has the say about every other type."""

    async def settle(transaction: Transaction, discarded: Discarded) -> None:
        if discarded.row.event_type == EventType.GENERATION_REQUESTED.value:
            await _settle_request(transaction, discarded)
        else:
            await others(transaction, discarded)

    return settle


async def _settle_request(transaction: Transaction, discarded: Discarded) -> None:
    """Book what the job's answer needs to be booked. It follows at once: it stands behind.

    Raises:
        DiscardRefusedError: the answer is not here, or it cannot be booked.
    """
    envelope = discarded.envelope
    job_id = discarded.subject_id
    if envelope is None or envelope.accountid is None or job_id is None:
        return  # no job of ours, so nobody waits for it
    needed = store.Needed(account_ids={envelope.accountid}, job_ids={job_id})
    books, _ = await store.load(transaction.connection, needed)
    if job_id in books.reservations:
        return  # it was told under another id as well
    cause, answer = await _answer(transaction, envelope, job_id, discarded.followers)
    try:
        command = reservation_by(answer, cause.time)
        folded = await carry_out(transaction, [Input(cause=cause, command=command)])
    except LedgerError as error:
        raise DiscardRefusedError(str(error)) from error
    if folded.books.waiting:
        raise DiscardRefusedError(NOT_OPEN)
    if folded.refused:
        raise DiscardRefusedError(str(folded.refused[0].error))


async def _answer(
    transaction: Transaction, envelope: Envelope, job_id: UUID, followers: Sequence[ParkedRow]
) -> tuple[Event[Payload], Answer]:
    """Parked behind the request; or it came before it, and waits."""
    account_id = envelope.accountid
    events = [event for row in followers if (event := _read(row)) is not None]
    if account_id is not None:
        events += await waiting.find(transaction, job_key(account_id, job_id))
    for event in events:
        match event.data:
            case GenerationCompleted() | GenerationFailed() as answer if (
                answer.account_id,
                answer.job_id,
            ) == (account_id, job_id):
                return event, answer
            case _:
                continue
    raise DiscardRefusedError(UNANSWERED)


def _read(row: ParkedRow) -> Event[Payload] | None:
    try:
        return REGISTRY.decode(row.encoded or b"")
    except UndecodableEventError:
        return None
