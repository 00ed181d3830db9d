"""Every line of a bill is matched or flagged, and every attempt that it should list is found."""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid4

from libs.events.billing import FLAGGED, BillEntry, BillFinding
from libs.events.generation import CostSource
from services.billing.domain.attempts import Attempt
from services.billing.domain.bills import BillFormat, BillLine
from services.billing.domain.reconciliation import (
    Before,
    Period,
    Reconciled,
    period_of,
    reconcile,
)

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
F = BillFinding
AMOUNTS = (0, 9, 34_000)


def at(minute: float) -> datetime:
    return NOON + timedelta(minutes=minute)


def attempt(minute: float, *references: str, **changes: Any) -> Attempt:
    given: dict[str, Any] = {
        "id": uuid4(),
        "model": "gpt-image-1.5",
        "is_won": True,
        "started_at": at(minute),
        "ended_at": at(minute + 0.5),
        "references": references,
        "cost_microusd": 34_000,
        "cost_source": CostSource.LISTED,
    }
    return Attempt(**{**given, **changes})


def lost(minute: float, *references: str, **changes: Any) -> Attempt:
    """An attempt whose answer nobody has seen."""
    unknown = {"is_won": False, "cost_microusd": 0, "cost_source": CostSource.UNKNOWN}
    return attempt(minute, *references, **{**unknown, **changes})


def line(
    number: int, minute: float, reference: str, amount: int = 34_000, **changes: Any
) -> BillLine:
    given: dict[str, Any] = {
        "number": number,
        "reference": reference,
        "at": at(minute),
        "model": "gpt-image-1.5",
        "amount_microusd": amount,
        "status": "succeeded",
        "is_free": False,
    }
    return BillLine(**{**given, **changes})


def compared(
    lines: list[BillLine],
    attempts: list[Attempt],
    before: Before | None = None,
    form: BillFormat | None = None,
    period: Period | None = None,
) -> Reconciled:
    return reconcile(
        lines, attempts, before or Before(), period or period_of(lines), form or BillFormat()
    )


def findings(found: Reconciled) -> list[BillFinding]:
    return [each.finding for each in found.entries]


def before(*bills: Reconciled) -> Before:
    """What is known after these bills."""
    entries = [entry for each in bills for entry in each.entries]
    lines: dict[str, BillEntry] = {}
    for each in entries:
        if each.line is not None:
            lines.setdefault(each.reference, each)
    counted = {(each.attempt_id, each.reference) for each in entries if each.attempt_id}
    return Before(lines=lines, counted=frozenset(counted))


def test_a_bill_that_lists_what_was_done_has_no_drift() -> None:
    found = compared([line(2, 0.2, "a"), line(3, 1.2, "b")], [attempt(0, "a"), attempt(1, "b")])
    assert findings(found) == [F.MATCHED, F.MATCHED]
    assert (found.billed_microusd, found.own_microusd) == (68_000, 68_000)
    assert found.findings == {F.MATCHED: 2}


def test_a_charge_of_nothing_a_missing_attempt_and_a_doubled_line_are_each_flagged() -> None:
    charged_nothing, missing, doubled = attempt(1, "b"), attempt(2, "c"), attempt(3, "d")
    attempts = [attempt(0, "a"), charged_nothing, missing, doubled, attempt(5, "e")]
    found = compared(
        [
            line(2, 0, "a"),
            line(3, 1, "b", 0),
            line(4, 3, "d"),
            line(5, 3, "d"),
            line(6, 4, "f", 50_000),
            line(7, 5.5, "e", 40_000),
        ],
        attempts,
    )
    assert findings(found) == [
        F.MATCHED, F.ZERO_COST, F.MATCHED, F.DOUBLED, F.UNKNOWN_ATTEMPT, F.COST_DIFFERS, F.MISSING,
    ]  # fmt: skip
    assert {each.finding for each in found.entries} - {F.MATCHED} == FLAGGED
    assert found.entries[1].attempt_id == charged_nothing.id
    assert found.entries[3].attempt_id == doubled.id
    last = found.entries[-1]
    assert (last.line, last.attempt_id, last.reference) == (None, missing.id, "c")
    assert found.billed_microusd == 34_000 * 3 + 50_000 + 40_000
    assert found.own_microusd == 34_000 * 5
    assert sum(found.findings.values()) == len(found.entries)


def test_a_call_whose_answer_was_lost_is_found_by_its_time_and_once() -> None:
    gone = lost(3)
    lines = [line(2, 0, "a"), line(3, 3.2, "x"), line(4, 3.3, "y"), line(5, 6, "b")]
    found = compared(lines, [attempt(0, "a"), gone, attempt(5.5, "b")])
    assert findings(found) == [F.MATCHED, F.RESOLVED, F.UNKNOWN_ATTEMPT, F.MATCHED]
    assert found.entries[1].attempt_id == gone.id
    assert found.billed_microusd - found.own_microusd == 68_000


def test_a_lost_call_of_another_model_or_time_is_left_alone() -> None:
    gone, elsewhere = lost(3, model="gpt-image-2"), lost(9)
    lines = [line(2, 0, "a"), line(3, 3.2, "x"), line(4, 6, "b")]
    found = compared(lines, [attempt(0, "a"), gone, attempt(5.5, "b"), elsewhere])
    assert findings(found) == [F.MATCHED, F.UNKNOWN_ATTEMPT, F.MATCHED, F.NOT_CHARGED]
    assert found.entries[-1].attempt_id == gone.id  # the other one is not in what is covered


def test_a_lost_order_whose_name_is_known_is_resolved_by_it() -> None:
    gone = lost(3, "order-1")
    found = compared([line(2, 50, "order-1")], [gone])
    assert (found.entries[0].finding, found.entries[0].attempt_id) == (F.RESOLVED, gone.id)


def test_a_lost_call_that_is_not_listed_was_not_charged() -> None:
    gone = lost(3, "order-1")
    found = compared([line(2, 0, "a"), line(3, 6, "b")], [attempt(0, "a"), gone, attempt(5.5, "b")])
    assert findings(found) == [F.MATCHED, F.MATCHED, F.NOT_CHARGED]
    assert found.own_microusd == 68_000


def test_attempts_that_shared_a_providers_job_are_one_call() -> None:
    first, second = lost(1, "order-1"), attempt(2, "order-1")
    edges = Period(at(0), at(9))
    found = compared([line(2, 2, "order-1")], [first, second], period=edges)
    assert [(each.finding, each.attempt_id) for each in found.entries] == [(F.MATCHED, second.id)]
    found = compared([line(2, 2, "other")], [first, second], period=edges)
    assert [(each.finding, each.attempt_id) for each in found.entries] == [
        (F.UNKNOWN_ATTEMPT, None),
        (F.MISSING, second.id),
    ]


def test_an_attempt_of_several_calls_is_compared_call_by_call_and_whole() -> None:
    several = attempt(1, "a", "b", "c", cost_microusd=100)
    even = [line(2, 1, "a", 34), line(3, 1, "b", 33), line(4, 1, "c", 33)]
    assert compared(even, [several]).findings == {F.MATCHED: 3}
    uneven = [line(2, 1, "a", 40), line(3, 1, "b", 30), line(4, 1, "c", 30)]
    assert compared(uneven, [several]).findings == {F.MATCHED: 3}
    edges = Period(at(0), at(9))
    found = compared([line(2, 1, "b", 33)], [several], period=edges)
    assert [(each.finding, each.reference, each.own_microusd) for each in found.entries] == [
        (F.MATCHED, "b", 33),
        (F.MISSING, "a", 34),
        (F.MISSING, "c", 33),
    ]


def test_what_costs_nothing_need_not_be_listed() -> None:
    edges = Period(at(0), at(9))
    refused = attempt(1, "r", is_won=False, cost_microusd=0, cost_source=CostSource.LISTED)
    own = attempt(2, "s", cost_microusd=0, cost_source=CostSource.NONE)
    found = compared(
        [line(2, 1, "r", 0, is_free=True, status="failed")], [refused, own], period=edges
    )
    assert findings(found) == [F.MATCHED]
    assert findings(compared([line(2, 1, "s", 0)], [own])) == [F.MATCHED]


def test_a_failed_line_of_a_delivered_call_differs() -> None:
    free = line(2, 1, "a", 0, is_free=True, status="failed")
    assert findings(compared([free], [attempt(1, "a")])) == [F.COST_DIFFERS]


def test_a_figure_may_be_off_by_what_the_format_tolerates() -> None:
    near = [line(2, 1, "a", 34_500)]
    assert findings(compared(near, [attempt(1, "a")])) == [F.COST_DIFFERS]
    form = BillFormat(tolerance_microusd=500)
    assert findings(compared(near, [attempt(1, "a")], form=form)) == [F.MATCHED]


def test_a_provider_that_names_nothing_is_compared_by_time() -> None:
    attempts = [attempt(minute) for minute in range(0, 30, 2)]
    lines = [line(number + 2, number * 2 + 0.2, "") for number in range(15) if number != 7]
    found = compared(lines, attempts)
    assert found.findings == {F.MATCHED: 14, F.MISSING: 1}
    assert found.entries[-1].attempt_id == attempts[7].id


def test_a_bill_that_overlaps_an_earlier_one_counts_nothing_twice() -> None:
    attempts = [attempt(0, "a"), attempt(1, "b"), attempt(2, "c"), lost(3), attempt(4, "d")]
    first = compared([line(2, 0, "a"), line(3, 2.5, "c")], attempts)
    assert findings(first) == [F.MATCHED, F.MATCHED, F.MISSING]
    lines = [
        line(2, 0, "a"),
        line(3, 1, "b"),
        line(4, 2.6, "c"),
        line(5, 3.2, "x"),
        line(6, 4.5, "d"),
    ]
    second = compared(lines, attempts, before(first))
    assert findings(second) == [F.REPEATED, F.MATCHED, F.DOUBLED, F.RESOLVED, F.MATCHED]
    assert [each.own_microusd for each in second.entries] == [0, 0, 0, 0, 34_000]
    own = first.own_microusd + second.own_microusd
    assert own == 4 * 34_000
    assert second.billed_microusd == 4 * 34_000

    third = compared(lines, attempts, before(first, second))
    assert set(findings(third)) == {F.REPEATED, F.DOUBLED}
    assert third.own_microusd == 0


def test_a_line_that_came_before_its_attempt_was_known_is_counted_later() -> None:
    known = attempt(0, "a")
    lines = [line(2, 0, "a")]
    first = compared(lines, [])
    assert findings(first) == [F.UNKNOWN_ATTEMPT]
    second = compared(lines, [known], before(first), period=Period(at(0), at(5)))
    assert findings(second) == [F.REPEATED]
    assert (second.billed_microusd, second.own_microusd) == (0, 34_000)


def test_whatever_the_bill_each_line_is_one_entry_and_the_sums_agree() -> None:
    random = Random(7)
    for _ in range(200):
        attempts = [
            random.choice((attempt, lost))(
                random.uniform(0, 60), *random.sample("abcdefgh", random.randint(0, 2))
            )
            for _ in range(random.randint(0, 12))
        ]
        lines = [
            line(
                number,
                random.uniform(0, 60),
                random.choice("abcdefghij"),
                random.choice((0, 9, 34_000)),
            )
            for number in range(2, random.randint(3, 14))
        ]
        first = compared(lines, attempts)
        second = compared(lines, attempts, before(first))
        for found in (first, second):
            numbers = [each.line for each in found.entries if each.line]
            assert numbers == [each.number for each in lines]
            assert sum(found.findings.values()) == len(found.entries)
            calls = [
                (each.attempt_id, each.reference)
                for each in found.entries
                if each.attempt_id and each.finding is not F.DOUBLED
            ]
            assert len(calls) == len(set(calls))
        assert second.own_microusd == 0
        assert {each.finding for each in second.entries} <= {F.REPEATED, F.DOUBLED, F.RESOLVED}


def test_a_hundred_thousand_unnamed_calls_are_compared_in_seconds() -> None:
    attempts = [attempt(minute / 50) for minute in range(100_000)]
    lines = [line(number + 2, number / 50 + 0.1, "") for number in range(100_000)]
    began = datetime.now(UTC)
    found = compared(lines, attempts)
    assert found.findings[F.MATCHED] > 99_000
    assert datetime.now(UTC) - began < timedelta(seconds=60)


def test_the_same_attempt_keeps_its_finding_whatever_order_rows_come_in() -> None:
    attempts = [lost(1, id=UUID(int=n)) for n in range(1, 6)]
    lines = [line(n, 1.1, f"x{n}") for n in range(2, 6)]
    one = compared(lines, attempts)
    other = compared(lines, attempts[::-1])
    assert one == other
