"""Whether a request is admitted, and which refusal comes first."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from libs.events.testing import NOW
from services.gateway.domain.admission import (
    Admitted,
    Banned,
    BookInForce,
    Counter,
    CreditsShort,
    Earlier,
    KeyReused,
    NotKnown,
    NotPriced,
    Payer,
    PriceChanged,
    Repeated,
    Request,
    Standing,
    Terms,
    decide,
)
from services.gateway.domain.credits import AccountCopy
from services.gateway.domain.limits import (
    Allowance,
    Exceeded,
    Kind,
    Limit,
    Meter,
    Passed,
    Policy,
    Subject,
    TooMany,
    spend,
)
from services.gateway.domain.orders import Order
from services.gateway.domain.pricing import PriceBook

LIMIT = Limit(per_minute=60)
ORDER = Order(
    operation="image", provider="local", model="local-sketch", prompt="a fox", options={}, units=2
)


USER = uuid4()
SUBJECTS = (Subject(Kind.USER, str(USER)), Subject(Kind.PROVIDER, "local"))


def request(fingerprint: bytes = b"1", **changes: Any) -> Request:
    usual = Request(
        job_id=uuid4(),
        payer=Payer(user_id=USER, account_id=USER),
        order=ORDER,
        fingerprint=fingerprint,
        route="/api/jobs",
    )
    return replace(usual, **changes)


def standing(*, settled: int = 20, grace: int = 0, held: int = 0, **changes: Any) -> Standing:
    usual = Standing(
        is_banned=False,
        is_key_revoked=False,
        is_log_in_revoked=False,
        account=AccountCopy(version=3, settled=settled, grace=grace, held=held),
        earlier=None,
    )
    return replace(usual, **changes)


def allowances(*, per_minute: int = 60, **meter: Any) -> tuple[Allowance, ...]:
    policy = Policy(per_minute=per_minute, credits_per_day=100, tokens_per_day=1_000)
    return tuple(
        Allowance(subject=subject, policy=policy, meter=Meter(**meter)) for subject in SUBJECTS
    )


BOOK = PriceBook(operations={"image": 3})


def terms(of: Standing | None, book: PriceBook | None = BOOK, **meter: Any) -> Terms:
    return Terms(
        now=NOW,
        standing=of,
        allowances=allowances(**meter),
        book=None if book is None else BookInForce(version=7, book=book),
    )


def test_an_admitted_request_is_priced_by_the_book_in_force() -> None:
    decision = decide(request(), terms(standing()))
    assert isinstance(decision, Admitted)
    assert (decision.unit_credits, decision.units, decision.credits) == (3, 2, 6)
    assert (decision.book_version, decision.rule) == (7, "default")


@pytest.mark.parametrize(
    ("settled", "grace", "held", "is_admitted"),
    [(6, 0, 0, True), (5, 0, 0, False), (5, 1, 0, True), (7, 0, 1, True), (7, 0, 2, False)],
)
def test_what_is_available_decides(settled: int, grace: int, held: int, is_admitted: bool) -> None:
    of = standing(settled=settled, grace=grace, held=held)
    assert isinstance(decide(request(), terms(of)), Admitted) is is_admitted


def test_debt_blocks_even_what_costs_nothing() -> None:
    free = PriceBook(operations={"image": 0})
    assert isinstance(decide(request(), terms(standing(settled=0), free)), Admitted)
    short = decide(request(), terms(standing(settled=-1), free))
    assert short == CreditsShort(needed=0, available=-1)


def test_refusals_come_in_their_order() -> None:
    earlier = Earlier(job_id=uuid4(), fingerprint=b"1")
    full = NOW + timedelta(minutes=2)
    all_at_once = standing(settled=0, is_banned=True, is_key_revoked=True, earlier=earlier)
    agreed = request(book_version=6)

    def decided(of: Standing | None, **changes: Any) -> object:
        return decide(agreed, terms(of, drained_at=full, **changes))

    assert decided(None) == NotKnown()
    assert decided(all_at_once) == NotKnown()
    known = replace(all_at_once, is_key_revoked=False)
    assert decided(known) == Banned()
    allowed = replace(known, is_banned=False)
    assert decided(allowed) == Repeated(earlier.job_id)
    other = replace(earlier, fingerprint=b"2")
    assert decided(replace(allowed, earlier=other)) == KeyReused()
    first = replace(allowed, earlier=None)
    assert decided(first, book=None) == NotPriced("image")
    assert decided(first, book=PriceBook(operations={})) == NotPriced("image")
    assert decided(first) == PriceChanged(agreed=6, in_force=7)
    agreed = request(book_version=7)
    assert isinstance(decided(first), CreditsShort)
    assert isinstance(decided(standing()), TooMany)


def test_each_request_of_a_batch_sees_what_those_before_it_took() -> None:
    counter = Counter(
        now=NOW,
        book=BookInForce(version=7, book=BOOK),
        allowances=allowances(per_minute=3),
    )
    one, again = request(key="one"), request(key="one")
    decisions = [
        counter.decide(each, standing(settled=13))
        for each in (one, again, request(b"2", key="one"), request(), request())
    ]
    assert isinstance(decisions[0], Admitted)
    assert decisions[1:3] == [Repeated(one.job_id), KeyReused()]
    assert isinstance(decisions[3], Admitted)
    assert decisions[4] == CreditsShort(needed=6, available=1)
    full = [counter.decide(request(), standing(settled=99)) for _ in range(2)]
    assert [type(each) for each in full] == [CreditsShort, CreditsShort]


def test_a_batch_shares_one_providers_limit() -> None:
    others = [uuid4() for _ in range(4)]
    everybody = [
        Allowance(
            subject=Subject(Kind.USER, str(each)), policy=Policy(per_minute=60), meter=Meter()
        )
        for each in others
    ]
    provider = Allowance(subject=SUBJECTS[1], policy=Policy(per_minute=3), meter=Meter())
    counter = Counter(
        now=NOW,
        book=BookInForce(version=7, book=BOOK),
        allowances=[*everybody, provider],
    )
    decisions = [
        counter.decide(request(payer=Payer(user_id=each, account_id=each)), standing())
        for each in others
    ]
    assert [type(each) for each in decisions] == [Admitted, Admitted, Admitted, TooMany]


def test_a_quiet_minute_buys_a_burst_of_one_minute() -> None:
    drained_at, passed = NOW - timedelta(hours=1), 0
    while isinstance(spent := spend(LIMIT, drained_at, NOW), Passed):
        drained_at, passed = spent.drained_at, passed + 1
    assert passed == 60
    assert spent == Exceeded(timedelta(seconds=1))
    assert isinstance(spend(LIMIT, drained_at, NOW + timedelta(seconds=1)), Passed)


@given(
    per_minute=st.integers(1, 5_000),
    gaps_ms=st.lists(st.integers(0, 3_000), min_size=1, max_size=200),
)
def test_no_minute_holds_more_than_two_allowances(per_minute: int, gaps_ms: list[int]) -> None:
    limit, now, drained_at = Limit(per_minute=per_minute), NOW, NOW
    passed = []
    for gap_ms in gaps_ms:
        now += timedelta(milliseconds=gap_ms)
        spent = spend(limit, drained_at, now)
        if isinstance(spent, Passed):
            drained_at = spent.drained_at
            passed.append(now)
        else:
            later = now + spent.retry_after
            assert isinstance(spend(limit, drained_at, later), Passed)
    for start in passed:
        inside = [each for each in passed if start <= each < start + timedelta(minutes=1)]
        assert len(inside) <= 2 * per_minute
