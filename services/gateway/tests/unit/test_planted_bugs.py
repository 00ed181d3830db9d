"""The faults that the protocol's model knows of, planted one by one: each must be caught here.

Every order of the events of a completed and a failed job is folded, then each event once more.
"""

from collections.abc import Iterable
from datetime import datetime
from itertools import permutations

import pytest
from msgspec.structs import replace

from libs.events.credits import CreditsEvent, CreditsGranted, JobCreditsEvent
from libs.events.generation import GenerationCompleted
from libs.events.payload import Payload
from services.gateway.domain.books import Books, Job
from services.gateway.domain.jobs import ChargeKind, JobState, Status, evolve, learn
from services.gateway.tests.stories import Account, account_with

GRACE_AT_END = 7


class DropsHeldOnCompleted(Books):
    def apply(self, event: Payload, at: datetime) -> None:
        if isinstance(event, GenerationCompleted):
            self.close_hold(event, at)  # type: ignore[arg-type]
        super().apply(event, at)


class ClosesHoldOnlyWithNewerVersion(Books):
    def apply(self, event: Payload, at: datetime) -> None:
        self.is_newer = (
            not isinstance(event, CreditsEvent)
            or event.account_version > self.accounts[event.account_id].version
        )
        super().apply(event, at)

    def close_hold(self, event: JobCreditsEvent, at: datetime) -> None:
        if self.is_newer:
            super().close_hold(event, at)


class AppliesSettledWithoutVersion(Books):
    def catch_up(self, event: CreditsEvent) -> None:
        self.accounts[event.account_id] = replace(
            self.accounts[event.account_id],
            version=event.account_version,
            settled=event.settled_after,
            grace=event.grace_after,
        )


class TakesGraceFromGrantsAlone(Books):
    def catch_up(self, event: CreditsEvent) -> None:
        grace = self.accounts[event.account_id].grace
        super().catch_up(event)
        if not isinstance(event, CreditsGranted):
            self.accounts[event.account_id] = replace(self.accounts[event.account_id], grace=grace)


class ClosesHoldAgain(Books):
    def close_hold(self, event: JobCreditsEvent, at: datetime) -> None:
        job = self.jobs[event.job_id]
        self.jobs[job.job_id] = replace(job, hold=replace(job.hold, closed_at=None))
        super().close_hold(event, at)


class FailsBeforeRelease(Books):
    def evolve(self, state: JobState, event: Payload, at: datetime) -> JobState:
        learned = learn(state, event, at)
        if learned.answer and learned.answer.outcome is Status.FAILED:
            return replace(learned, status=Status.FAILED)
        return evolve(state, event, at)


class FailsOnlyAtHoldClose(Books):
    def evolve(self, state: JobState, event: Payload, at: datetime) -> JobState:
        after = evolve(state, event, at)
        if after.status is Status.FAILED and not isinstance(event, JobCreditsEvent):
            return replace(after, status=state.status)
        return after


class CompletesOnCapture(Books):
    def evolve(self, state: JobState, event: Payload, at: datetime) -> JobState:
        learned = learn(state, event, at)
        is_charged = learned.charge and learned.charge.kind is ChargeKind.CAPTURED
        if learned.answer and is_charged:
            return replace(learned, status=learned.answer.outcome)
        return evolve(state, event, at)


class ForgetsTheEnd(Books):
    def evolve(self, state: JobState, event: Payload, at: datetime) -> JobState:
        after = evolve(state, event, at)
        return replace(after, status=Status.PROCESSING) if after == state else after


BUGS = (
    DropsHeldOnCompleted,
    ClosesHoldOnlyWithNewerVersion,
    AppliesSettledWithoutVersion,
    TakesGraceFromGrantsAlone,
    ClosesHoldAgain,
    FailsBeforeRelease,
    FailsOnlyAtHoldClose,
    CompletesOnCapture,
    ForgetsTheEnd,
)


def violation(books: Books, before: Books) -> str:
    """What is wrong with a state, or with the step to it."""
    held = sum(job.hold.credits for job in books.jobs.values() if job.hold.closed_at is None)
    for account_id, copy in books.accounts.items():
        if copy.held != held:
            return "held differs from the sum of the open holds"
        if copy.version < before.accounts[account_id].version:
            return "the copy moved back"
    broken = (job_violation(job, before.jobs[job_id]) for job_id, job in books.jobs.items())
    return next(filter(None, broken), "")


def job_violation(job: Job, before: Job) -> str:
    state, is_held = job.state, job.hold.closed_at is None
    is_charged = state.charge is not None and state.charge.kind is ChargeKind.CAPTURED
    is_done = is_charged and state.listing is not None and state.recorded_at is not None
    checks = {
        "a hold was closed before the ledger's word": not is_held and state.charge is None,
        "a job left a final state": before.state.is_final
        and state.status is not before.state.status,
        "a job ended with its hold open": state.is_final and is_held,
        "COMPLETED without all": state.status is Status.COMPLETED and not is_done,
        "FAILED and charged": state.status is Status.FAILED and is_charged,
    }
    return next((text for text, is_broken in checks.items() if is_broken), "")


def at_rest(books: Books, story: Account) -> str:
    """What is wrong when everything has been said."""
    copy = books.accounts[story.account_id]
    if not all(job.state.is_final for job in books.jobs.values()):
        return "a job never ends"
    if (copy.version, copy.held) != (story.versions, 0):
        return "the copy does not catch up"
    if (copy.settled, copy.grace) != (story.settled_at_end, GRACE_AT_END):
        return "the copy differs from the ledger"
    return ""


def orders(story: Account) -> Iterable[tuple[int, ...]]:
    """Every order of the events but billing's word on the failed job, which nothing waits for."""
    return permutations(range(len(story.events) - 1))


def first_violation(planted: type[Books]) -> str:
    story = with_grace(account_with("completed", "failed"))
    for order in orders(story):
        books = planting(story, planted)
        try:
            for place in (*order, *order[:3]):
                before = planting(story, planted)
                before.accounts, before.jobs = dict(books.accounts), dict(books.jobs)
                books.apply(story.events[place].data, story.events[place].at)
                if broken := violation(books, before):
                    return broken
        except ValueError as error:
            return str(error)
        if broken := at_rest(books, story):
            return broken
    return ""


def planting(story: Account, planted: type[Books]) -> Books:
    books = story.books()
    return planted(books.accounts, books.jobs.values())


def with_grace(story: Account) -> Account:
    """The grace changes with the last credits event alone."""
    events = [
        replace(said, data=replace(said.data, grace_after=GRACE_AT_END))
        if isinstance(said.data, CreditsEvent) and said.data.account_version == story.versions
        else said
        for said in story.events
    ]
    return replace(story, events=tuple(events))


def test_the_fold_keeps_every_promise_in_every_order() -> None:
    assert first_violation(Books) == ""


@pytest.mark.parametrize("planted", BUGS, ids=lambda bug: bug.__name__)
def test_a_planted_bug_is_caught(planted: type[Books]) -> None:
    assert first_violation(planted)
