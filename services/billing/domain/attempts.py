"""Attempts at providers as their ends are told: what a provider may put on its bill."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from libs.events.envelope import Event
from libs.events.generation import AttemptOutcome, CostSource, GenerationAttemptEnded
from libs.events.payload import Payload


class EndedAttempt(Struct, frozen=True, kw_only=True, gc=False):
    """An attempt that did not decide its job; a row of `attempt`."""

    id: UUID
    job_id: UUID
    account_id: UUID
    provider: str
    model: str
    outcome: str
    error_code: str | None
    started_at: datetime
    ended_at: datetime
    provider_references: str  # one a line
    provider_cost_microusd: int
    provider_cost_source: str


def lines_of(references: Iterable[str]) -> str:
    """References as they are stored. None of them holds a line break."""
    return "\n".join(references)


def ended_attempts(events: Sequence[Event[Payload]]) -> list[EndedAttempt]:
    """The attempts that events tell of by themselves, each once: its last word counts."""
    told: dict[UUID, EndedAttempt] = {}
    for event in events:
        if isinstance(event.data, GenerationAttemptEnded):
            attempt = _attempt(event, event.data)
            known = told.get(attempt.id)
            if known is None or _is_later(attempt, known):
                told[attempt.id] = attempt
    return [told[each] for each in sorted(told)]


def _is_later(attempt: EndedAttempt, known: EndedAttempt) -> bool:
    """Nothing but the late end comes after another one, and that comes once."""
    return attempt.outcome == AttemptOutcome.LATE != known.outcome


def _attempt(event: Event[Payload], ended: GenerationAttemptEnded) -> EndedAttempt:
    return EndedAttempt(
        id=ended.attempt_id,
        job_id=ended.job_id,
        account_id=ended.account_id,
        provider=ended.provider,
        model=ended.model,
        outcome=ended.outcome.value,
        error_code=ended.code.value if ended.code else None,
        started_at=ended.started_at,
        ended_at=event.time,
        provider_references=lines_of(ended.provider_references),
        provider_cost_microusd=ended.provider_cost_microusd,
        provider_cost_source=ended.provider_cost_source.value,
    )


class Attempt(Struct, frozen=True, kw_only=True, gc=False):
    """An attempt as it is compared with a bill."""

    id: UUID
    model: str
    is_won: bool
    started_at: datetime
    ended_at: datetime
    references: tuple[str, ...]
    cost_microusd: int
    cost_source: CostSource

    @property
    def is_unknown(self) -> bool:
        """Whether nobody knows if it was charged for."""
        return not self.is_won and self.cost_source is CostSource.UNKNOWN

    @property
    def is_expected(self) -> bool:
        """Whether a bill should list it."""
        return self.cost_source is not CostSource.NONE and (self.is_won or self.cost_microusd > 0)

    @property
    def calls(self) -> tuple[str, ...]:
        """What it should be listed as: one line for each call."""
        return self.references or ("",)

    def share_microusd(self, reference: str) -> int:
        """What we recorded for one of its calls; what does not divide is with the first."""
        count = len(self.calls)
        whole, rest = divmod(self.cost_microusd, count)
        return whole + (rest if reference == self.calls[0] else 0)
