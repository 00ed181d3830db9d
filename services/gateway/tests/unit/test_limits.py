"""Rates and caps of several subjects at once, and what is left to tell in headers."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from libs.events.testing import NOW, completed, failed, request_facts
from services.gateway.api.rate_limits import headers_of
from services.gateway.domain.books import Books, Hold, Job, Metered
from services.gateway.domain.credits import AccountCopy
from services.gateway.domain.jobs import JobState
from services.gateway.domain.limits import (
    Allowance,
    Demand,
    Kind,
    Measure,
    Meter,
    OwnPolicy,
    Policy,
    Settlement,
    Subject,
    Throttle,
    TooMany,
    added_up,
    take,
    take_all,
    until_tomorrow,
)
from services.gateway.tests.stories import captured, released

USER = Subject(Kind.USER, "ada")
PROVIDER = Subject(Kind.PROVIDER, "local")
POLICY = Policy(per_minute=60, credits_per_day=100, tokens_per_day=1_000)


def allowance(subject: Subject = USER, policy: Policy = POLICY, **meter: object) -> Allowance:
    return Allowance(subject=subject, policy=policy, meter=Meter(**meter))  # type: ignore[arg-type]


def demand(cost: int = 1, tokens: int = 10) -> Demand:
    return Demand(credits=cost, tokens=tokens)


def test_a_cap_refuses_what_would_pass_it_and_lasts_until_midnight() -> None:
    late = datetime(2026, 3, 4, 23, 59, 30, tzinfo=UTC)
    used = allowance(day=late.date(), credits=99, tokens=0)
    assert isinstance(take(used, demand(cost=1), late), Allowance)
    refused = take(used, demand(cost=2), late)
    assert refused == TooMany(
        subject=USER, measure=Measure.CREDITS, retry_after=timedelta(seconds=30)
    )
    tomorrow = late + timedelta(seconds=30)
    fresh = take(used, demand(cost=2), tomorrow)
    assert isinstance(fresh, Allowance)
    assert (fresh.meter.day, fresh.meter.credits) == (tomorrow.date(), 2)


def test_tokens_are_capped_by_their_estimate() -> None:
    used = allowance(day=NOW.date(), tokens=995)
    assert isinstance(take(used, demand(tokens=5), NOW), Allowance)
    refused = take(used, demand(tokens=6), NOW)
    assert isinstance(refused, TooMany)
    assert refused.measure is Measure.TOKENS


def test_nobody_is_charged_for_what_another_limit_refuses() -> None:
    provider = allowance(PROVIDER, Policy(per_minute=1), drained_at=NOW + timedelta(minutes=1))
    both = (allowance(), provider)
    refused = take_all(both, demand(), NOW)
    assert isinstance(refused, TooMany)
    assert (refused.subject, refused.allowances) == (PROVIDER, both)


def test_the_longest_wait_is_told() -> None:
    busy = allowance(drained_at=NOW + timedelta(minutes=1))
    capped = allowance(Subject(Kind.KEY, "k"), Policy(per_minute=1, credits_per_day=0))
    refused = take_all([busy, capped], demand(), NOW)
    assert isinstance(refused, TooMany)
    assert (refused.measure, refused.retry_after) == (Measure.CREDITS, until_tomorrow(NOW))


def test_a_throttle_lowers_a_rate_until_its_end_and_raises_none() -> None:
    throttle = Throttle(per_minute=5, until=NOW + timedelta(hours=1))
    own = OwnPolicy(throttle=throttle)
    assert own.over(POLICY, NOW).per_minute == 5
    assert own.over(POLICY, throttle.until).per_minute == 60
    assert replace(own, per_minute=2).over(POLICY, NOW).per_minute == 2
    assert replace(own, credits_per_day=0).over(POLICY, NOW).credits_per_day == 0


def test_a_day_never_goes_back() -> None:
    meter = Meter(day=NOW.date(), credits=5, tokens=6)
    assert meter.on(NOW.date() - timedelta(days=1)) == meter
    assert meter.on(NOW.date() + timedelta(days=1)).credits == 0


@given(
    rates=st.lists(st.integers(1, 200), min_size=1, max_size=4),
    cap=st.integers(0, 50),
    steps=st.lists(st.tuples(st.integers(0, 40_000), st.integers(0, 5)), max_size=80),
)
def test_no_subject_is_ever_over_its_limits(
    rates: list[int], cap: int, steps: list[tuple[int, int]]
) -> None:
    subjects = list(Kind)
    allowances: tuple[Allowance, ...] = tuple(
        allowance(Subject(subjects[place], "x"), Policy(per_minute=rate, credits_per_day=cap))
        for place, rate in enumerate(rates)
    )
    now, passed, spent = NOW, [], dict[object, int]()
    for gap_ms, cost in steps:
        now += timedelta(milliseconds=gap_ms)
        outcome = take_all(allowances, demand(cost=cost), now)
        if isinstance(outcome, TooMany):
            assert outcome.retry_after > timedelta(0)
            later = now + outcome.retry_after
            again = take_all(allowances, demand(cost=min(cost, cap)), later)
            assert not isinstance(again, TooMany)  # who waits as long as told is let in
            continue
        allowances = outcome
        passed.append(now)
        spent[now.date()] = spent.get(now.date(), 0) + cost
    assert all(each <= cap for each in spent.values())
    for start in passed:
        inside = [each for each in passed if start <= each < start + timedelta(minutes=1)]
        assert len(inside) <= 2 * min(rates)


def test_headers_tell_each_limit_of_the_caller_and_none_of_the_provider() -> None:
    user = allowance(drained_at=NOW + timedelta(seconds=9.5), day=NOW.date(), credits=40)
    key = allowance(Subject(Kind.KEY, "k"), Policy(per_minute=5))
    headers = headers_of([user, key, allowance(PROVIDER)], NOW)
    left = round(until_tomorrow(NOW).total_seconds() + 0.5)
    assert headers == {
        "RateLimit-Policy": (
            '"user-requests";q=60;w=60;qu="requests", "user-credits";q=100;w=86400;qu="credits",'
            ' "user-tokens";q=1000;w=86400;qu="tokens", "key-requests";q=5;w=60;qu="requests"'
        ),
        "RateLimit": (
            f'"user-requests";r=50;t=10, "user-credits";r=60;t={left},'
            f' "user-tokens";r=1000;t={left}, "key-requests";r=5;t=0'
        ),
    }


def job_with(tokens: int, held: int) -> tuple[Books, Job]:
    account_id = uuid4()
    job = Job(
        job_id=uuid4(),
        user_id=account_id,
        hold=Hold(account_id=account_id, credits=held),
        metered=Metered(subjects=(USER,), day=NOW.date(), tokens=tokens),
        state=JobState(),
    )
    copy = AccountCopy(version=0, settled=20, grace=0, held=held)
    return Books({account_id: copy}, [job]), job


def test_a_completed_job_settles_what_it_really_used_once() -> None:
    books, job = job_with(tokens=5, held=3)
    facts = request_facts(job_id=job.job_id, user_id=job.user_id)
    said = completed(facts, input_tokens=40, output_tokens=1_000)
    charge = captured(job.user_id, job.job_id, version=1, settled=18)
    for event in (said, charge, said, charge):
        books.apply(event, NOW)
    assert books.settlements() == [
        Settlement(subject=USER, day=NOW.date(), credits=charge.credits - 3, tokens=1_035)
    ]
    later = Books(books.accounts, books.jobs.values())
    for event in (said, charge):
        later.apply(event, NOW)
    assert later.settlements() == []


def test_a_failed_job_gives_back_what_was_counted() -> None:
    books, job = job_with(tokens=5, held=3)
    books.apply(failed(request_facts(job_id=job.job_id, user_id=job.user_id)), NOW)
    books.apply(released(job.user_id, job.job_id, version=1, settled=20), NOW)
    assert books.settlements() == [Settlement(subject=USER, day=NOW.date(), credits=-3, tokens=-5)]


def test_settlements_of_one_day_are_added_up_in_the_order_of_locks() -> None:
    day, next_day = NOW.date(), NOW.date() + timedelta(days=1)
    found = added_up(
        [
            Settlement(subject=Subject(Kind.KEY, "a"), day=day, tokens=1),
            Settlement(subject=USER, day=day, tokens=2, credits=-1),
            Settlement(subject=USER, day=next_day, tokens=3),
            Settlement(subject=USER, day=day, tokens=4),
        ]
    )
    assert [(each.subject.kind, each.day, each.tokens, each.credits) for each in found] == [
        (Kind.USER, day, 6, -1),
        (Kind.USER, next_day, 3, 0),
        (Kind.KEY, day, 1, 0),
    ]
