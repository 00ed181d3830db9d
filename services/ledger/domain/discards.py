"""What is reserved for a job whose request nobody can read, once its answer is known."""

from datetime import datetime

from msgspec.structs import replace

from libs.events.generation import GenerationCompleted, GenerationFailed
from services.ledger.domain.commands import Command, ReserveCredits, reservation_of

Answer = GenerationCompleted | GenerationFailed


def reservation_by(answer: Answer, at: datetime) -> Command:
    """The reservation that an answer can close.

    For what was delivered it is what the request asked for, which the answer repeats; else it is
    nothing: it is released again at once, and the gateway's hold closes with that. `at` is when
    the answer was given, for one that does not repeat when the request was admitted.

    Raises:
        InvalidInputError: the answer contradicts itself.
    """
    if answer.request is None:
        return ReserveCredits(answer.account_id, answer.job_id, credits=0, at=at)
    asked = reservation_of(answer.account_id, answer.job_id, answer.request)
    return asked if isinstance(answer, GenerationCompleted) else replace(asked, credits=0)
