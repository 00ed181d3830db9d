"""The drill's plan and verdict: what a seed decides, and what makes a report bad."""

from argparse import ArgumentTypeError
from collections import deque
from functools import partial
from typing import ClassVar

import msgspec
import pytest
from aiokafka.errors import KafkaConnectionError, KafkaTimeoutError

from libs.events.envelope import decode_envelope, encode
from libs.events.testing import event, failed
from tools.commands.drill import not_negative
from tools.drill import faults
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
    planned = plan(seed, 1)
    assert sorted(each.part for each in planned if each.kind is Kind.KILL) == sorted(PARTS)
    assert {each.kind for each in planned} == set(Kind)
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


class Failing:
    """A producer whose Kafka is away at its start, and goes away again in the middle."""

    faults: ClassVar[list[str]] = []
    stored: ClassVar[list[bytes]] = []
    open: ClassVar[int] = 0

    def __init__(self, **_settings: object) -> None:
        type(self).open += 1

    async def start(self) -> None:
        if "start" in self.faults:
            self.faults.remove("start")
            raise KafkaConnectionError

    async def send_and_wait(self, topic: str, value: bytes, **_rest: object) -> None:
        if len(self.stored) == 2 and "send" in self.faults:
            self.faults.remove("send")
            raise KafkaTimeoutError
        self.stored.append(value)

    async def stop(self) -> None:
        type(self).open -= 1


async def test_a_redelivery_survives_a_kafka_that_fails_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Failing.faults, Failing.stored, Failing.open = ["start", "send"], [], 0
    monkeypatch.setattr(faults, "AIOKafkaProducer", Failing)
    left: deque[faults.Message] = deque()
    left.extend(("daygen.credits", b"k", str(number).encode()) for number in range(5))
    await faults.insisting(partial(faults._publish, "nobody:1", left))
    assert Failing.stored == [b"0", b"1", b"2", b"3", b"4"]
    assert Failing.open == 0


async def test_a_kafka_that_never_comes_back_ends_the_insisting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(faults, "INSISTING_SECONDS", 0.3)

    async def never() -> None:
        raise KafkaConnectionError

    with pytest.raises(TimeoutError):
        await faults.insisting(never)
