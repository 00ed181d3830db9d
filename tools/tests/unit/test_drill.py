"""The drill's plan and verdict: what a seed decides, and what makes a report bad."""

from argparse import ArgumentTypeError

import msgspec
import pytest

from libs.events.envelope import decode_envelope, encode
from libs.events.testing import event, failed
from tools.commands.drill import not_negative
from tools.drill import report as names
from tools.drill.faults import under_a_new_id
from tools.drill.plan import PARTS, Kind, plan
from tools.drill.report import Recovery, Report, judge, text_of
from tools.invariants import INVARIANTS, Promise


def report(broken: dict[str, int]) -> Report:
    fault = plan(1, 1)[0]
    return judge(
        broken,
        seed=7,
        rounds=1,
        seconds=12.34,
        accepted=3,
        statuses=["COMPLETED", "COMPLETED", "FAILED"],
        recoveries=[Recovery(fault=fault, ready_seconds=1.2, next_job_seconds=None)],
    )


def test_a_seed_decides_the_faults_and_their_order() -> None:
    assert plan(7, 3) == plan(7, 3)
    assert plan(7, 1) != plan(8, 1)
    assert plan(7, 3)[: len(plan(7, 1))] == plan(7, 1)


@pytest.mark.parametrize("seed", range(20))
def test_each_round_kills_every_part_once_and_makes_every_kind_of_fault(seed: int) -> None:
    faults = plan(seed, 1)
    assert sorted(each.part for each in faults if each.kind is Kind.KILL) == sorted(PARTS)
    assert {each.kind for each in faults} == set(Kind)
    assert {each.kind for each in plan(seed, 1, len(Kind))} == set(Kind)
    assert len(plan(seed, 2, 3)) == 6


def test_nothing_is_planned_for_no_round() -> None:
    assert plan(7, 0) == []
    assert not_negative("0") == 0
    with pytest.raises(ArgumentTypeError):
        not_negative("-1")


def test_a_copy_under_a_new_id_differs_in_nothing_else() -> None:
    encoded = encode(event(failed()))
    copy = under_a_new_id(encoded)
    one, other = decode_envelope(encoded), decode_envelope(copy)
    assert one.id != other.id
    assert msgspec.structs.replace(other, id=one.id) == one


def test_a_report_without_anything_broken_is_kept() -> None:
    made = report({})
    assert made.is_kept
    assert (made.lost, made.doubled, made.books) == (0, 0, 0)
    assert (made.completed, made.failed, made.cancelled) == (2, 1, 0)
    assert "Every promise was kept." in text_of(made)
    assert "never" in text_of(made)


@pytest.mark.parametrize("name", [*INVARIANTS, names.UNKNOWN_JOBS, names.REPEATS, names.NOT_QUIET])
def test_whatever_is_broken_is_told_by_name_and_by_promise(name: str) -> None:
    made = report({name: 2})
    assert not made.is_kept
    assert f"BROKEN: 2 {name}" in text_of(made)
    assert made.lost + made.doubled + made.books == 2


def test_every_promise_has_a_query() -> None:
    assert {invariant.promise for invariant in INVARIANTS.values()} == set(Promise)
