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
    CreditsShort,
    Earlier,
    KeyReused,
    Repeated,
    Terms,
    TooMany,
    decide,
)
from services.gateway.domain.credits import AccountCopy
from services.gateway.domain.limits import Exceeded, Limit, Passed, spend
from services.gateway.domain.orders import Order
from services.gateway.domain.pricing import (
    PriceBook,
    UnpricedOperationError,
    read_book,
    unit_credits,
)

LIMIT = Limit(per_minute=60)
ORDER = Order(
    operation="image", provider="local", model="local-sketch", prompt="a fox", options={}, units=2
)


def terms(*, settled: int = 20, grace: int = 0, held: int = 0, **changes: Any) -> Terms:
    usual = Terms(
        now=NOW,
        is_banned=False,
        account=AccountCopy(version=3, settled=settled, grace=grace, held=held),
        limit_drained_at=NOW - timedelta(days=1),
        book=PriceBook(operations={"image": 3}),
        book_version=7,
        earlier=None,
    )
    return replace(usual, **changes)


def test_an_admitted_request_is_priced_by_the_book_in_force() -> None:
    decision = decide(ORDER, b"1", terms(), LIMIT)
    assert isinstance(decision, Admitted)
    assert (decision.unit_credits, decision.units, decision.credits) == (3, 2, 6)
    assert decision.book_version == 7


@pytest.mark.parametrize(
    ("settled", "grace", "held", "is_admitted"),
    [(6, 0, 0, True), (5, 0, 0, False), (5, 1, 0, True), (7, 0, 1, True), (7, 0, 2, False)],
)
def test_what_is_available_decides(settled: int, grace: int, held: int, is_admitted: bool) -> None:
    decision = decide(ORDER, b"1", terms(settled=settled, grace=grace, held=held), LIMIT)
    assert isinstance(decision, Admitted) is is_admitted


def test_debt_blocks_even_what_costs_nothing() -> None:
    free = PriceBook(operations={"image": 0})
    assert isinstance(decide(ORDER, b"1", terms(settled=0, book=free), LIMIT), Admitted)
    short = decide(ORDER, b"1", terms(settled=-1, book=free), LIMIT)
    assert short == CreditsShort(needed=0, available=-1)


def test_refusals_come_in_their_order() -> None:
    earlier = Earlier(job_id=uuid4(), fingerprint=b"1")
    full = NOW + timedelta(minutes=2)
    all_at_once = terms(settled=0, is_banned=True, earlier=earlier, limit_drained_at=full)
    assert decide(ORDER, b"1", all_at_once, LIMIT) == Banned()
    allowed = replace(all_at_once, is_banned=False)
    assert decide(ORDER, b"1", allowed, LIMIT) == Repeated(earlier.job_id)
    assert decide(ORDER, b"2", allowed, LIMIT) == KeyReused()
    first = replace(allowed, earlier=None)
    assert isinstance(decide(ORDER, b"1", first, LIMIT), CreditsShort)
    funded = terms(limit_drained_at=full)
    assert isinstance(decide(ORDER, b"1", funded, LIMIT), TooMany)


def test_a_price_that_the_book_lacks_is_an_error_not_a_gift() -> None:
    with pytest.raises(UnpricedOperationError):
        unit_credits(PriceBook(operations={}), "image")


@pytest.mark.parametrize(
    "body", ["", "{}", '{"operations":{"image":-1}}', '{"operations":{"image":1.5}}']
)
def test_a_broken_price_book_is_refused(body: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_book(body)


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
