"""A job's state, event by event and in every order."""

from datetime import timedelta
from itertools import permutations
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events.generation import GenerationStarted
from libs.events.testing import NOW
from services.gateway.domain.books import UnknownSubjectError
from services.gateway.domain.feed import FeedKind
from services.gateway.domain.jobs import JobState, Stage, Status, as_of, evolve
from services.gateway.tests.stories import Account, account_with, captured, granted

OUTCOMES = st.lists(st.sampled_from(["completed", "failed", "cancelled"]), min_size=1, max_size=3)


def test_a_new_job_is_pending() -> None:
    state = JobState()
    assert (state.status, state.stage, state.progress) == (Status.PENDING, Stage.QUEUED, 0)


def test_a_started_job_is_processing() -> None:
    story = account_with("completed", started=True)
    state = evolve(JobState(), story.events[1].data, NOW)
    assert (state.status, state.stage) == (Status.PROCESSING, Stage.GENERATING)
    assert 0 < state.progress < 100


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_a_job_completes_with_the_last_of_its_four_confirmations(order: tuple[int, ...]) -> None:
    told = account_with("completed").events[1:]
    state = JobState()
    for place in order[:-1]:
        state = evolve(state, told[place].data, told[place].at)
        assert (state.status, state.stage) == (Status.PROCESSING, Stage.FINALISING)
        assert state.progress < 100
    state = evolve(state, told[order[-1]].data, told[order[-1]].at)
    assert (state.status, state.progress) == (Status.COMPLETED, 100)
    assert state.finished_at == told[3].at


@pytest.mark.parametrize("outcome", ["failed", "cancelled"])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_job_without_result_ends_when_answer_and_release_are_known(
    outcome: str, order: tuple[int, int]
) -> None:
    told = account_with(outcome).events[1:]
    first, second = (told[place] for place in order)
    state = evolve(JobState(), first.data, first.at)
    assert state.status is Status.PROCESSING
    state = evolve(state, second.data, second.at)
    assert state.status.value == outcome.upper()


def test_pictures_are_shown_once_the_gallery_serves_them() -> None:
    told = account_with("completed").events[1:]
    state = evolve(JobState(), told[0].data, told[0].at)
    assert state.shown_images == ()
    state = evolve(state, told[2].data, told[2].at)
    assert len(state.shown_images) == 1
    assert state.status is Status.PROCESSING


def fold(story: Account, order: list[int]) -> object:
    books = story.books()
    for place in order:
        books.apply(story.events[place].data, story.events[place].at)
    return books.accounts, books.jobs


@given(outcomes=OUTCOMES, started=st.booleans(), data=st.data())
def test_any_order_with_any_repeats_gives_the_same_rows(
    outcomes: list[str], started: bool, data: st.DataObject
) -> None:
    story = account_with(*outcomes, started=started)
    places = list(range(len(story.events)))
    order = data.draw(st.permutations(places))
    repeats = data.draw(st.lists(st.sampled_from(places), max_size=6))
    assert fold(story, [*order, *repeats]) == fold(story, places)


@given(outcomes=OUTCOMES, data=st.data())
def test_progress_never_moves_back(outcomes: list[str], data: st.DataObject) -> None:
    story = account_with(*outcomes, started=True)
    books = story.books()
    for said in data.draw(st.permutations(story.events)):
        before = {job_id: job.state.progress for job_id, job in books.jobs.items()}
        books.apply(said.data, said.at)
        assert all(books.jobs[job_id].state.progress >= was for job_id, was in before.items())


def test_a_repeat_at_a_later_time_under_a_new_id_changes_nothing() -> None:
    story = account_with("completed", "failed")
    books = story.books()
    for said in story.events:
        books.apply(said.data, said.at)
    before = dict(books.accounts), dict(books.jobs)
    for said in story.events:
        books.apply(said.data, said.at + timedelta(hours=1))
    assert (books.accounts, books.jobs) == before


def test_the_feed_tells_of_pictures_before_the_end() -> None:
    story = account_with("completed")
    books = story.books()
    for said in story.events:
        books.apply(said.data, said.at)
    assert [entry.kind for entry in books.feed()] == [
        FeedKind.GALLERY_ADDED,
        FeedKind.BALANCE_CHANGED,
        FeedKind.ASSET_READY,
        FeedKind.JOB_COMPLETED,
    ]


def test_a_batch_that_changes_nothing_writes_nothing() -> None:
    story = account_with("completed")
    first = story.books()
    for said in story.events:
        first.apply(said.data, said.at)
    again = type(first)(dict(first.accounts), first.jobs.values())
    for said in story.events:
        again.apply(said.data, said.at)
    assert not again.changed_accounts()
    assert not again.changed_jobs()
    assert not again.closed_holds()
    assert not again.feed()


def test_events_of_strangers_are_refused() -> None:
    books = account_with("completed").books()
    account_id = next(iter(books.accounts))
    with pytest.raises(UnknownSubjectError):
        books.apply(granted(uuid4(), version=1, settled=5), NOW)
    with pytest.raises(UnknownSubjectError):
        books.apply(captured(account_id, uuid4(), version=1, settled=5), NOW)


@given(
    st.sampled_from(["completed", "failed", "cancelled"]),
    st.permutations(range(4)),
    st.integers(min_value=-1, max_value=9),
)
def test_a_job_as_of_a_time_is_the_fold_of_the_events_until_then(
    outcome: str, order: list[int], seconds: int
) -> None:
    told = account_with(outcome, started=True).events[1:]
    moment = NOW + timedelta(seconds=seconds)
    shuffled = [told[place] for place in order if place < len(told)]
    shuffled += [each for each in told if each not in shuffled]
    now, then = JobState(), JobState()
    for each in shuffled:
        now = evolve(now, each.data, each.at)
        if each.at <= moment and not isinstance(each.data, GenerationStarted):
            then = evolve(then, each.data, each.at)
    assert as_of(now, moment) == then
