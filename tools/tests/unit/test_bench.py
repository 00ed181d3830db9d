"""The bench's own arithmetic: percentiles, ratios, open-loop load, stages, and what is printed."""

import asyncio
import json
import os
from argparse import ArgumentTypeError
from itertools import pairwise
from random import Random
from statistics import fmean
from uuid import UUID, uuid4

import pytest

from tools.bench import cpu, report
from tools.bench.figures import Latency, Outcome, Spread, percentile, ratios
from tools.bench.findings import Figure, Finding
from tools.bench.load import Refused, Shot, arrivals, drive
from tools.bench.marks import CHARGED, LISTED, Job, Round, Stage, round_of
from tools.bench.result import Result, Setting, Side
from tools.commands import bench


def shot(*, due: float = 100.0, refusal: str = "") -> Shot:
    job_id = None if refusal else uuid4()
    return Shot(due=due, sent=due + 0.001, answered=due + 0.004, job_id=job_id, refusal=refusal)


def job(*, charged: float, listed: float, away_ms: float = 0.0) -> Job:
    """A job with its instants in seconds after it was due."""
    made = Job(shot(), away_ms=away_ms)
    made.marks |= {CHARGED: made.shot.due + charged, LISTED: made.shot.due + listed}
    return made


def measured(*totals: float) -> Round:
    jobs = [job(charged=total, listed=total / 2) for total in totals]
    return round_of([each.shot for each in jobs], jobs, {"gateway": 0.5})


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([7.0], 50, 7.0),
        ([7.0], 99, 7.0),
        ([1.0, 2.0], 50, 1.0),
        ([3.0, 1.0, 2.0], 50, 2.0),
        ([float(each) for each in range(1, 101)], 99, 99.0),
        ([float(each) for each in range(1, 101)], 100, 100.0),
        ([float(each) for each in range(1, 102)], 99, 100.0),
        ([1.0, 2.0, 3.0], 0, 1.0),
    ],
)
def test_a_percentile_is_the_nearest_rank(
    values: list[float], percent: float, expected: float
) -> None:
    assert percentile(values, percent) == expected


def test_nothing_has_no_percentile() -> None:
    with pytest.raises(ValueError, match="of nothing"):
        percentile([], 50)


def test_ratios_compare_the_two_sides_round_by_round() -> None:
    assert ratios([20.0, 60.0, 30.0], [10.0, 20.0, 30.0]) == Spread(1.0, 2.0, 3.0)
    with pytest.raises(ValueError, match="shorter"):
        ratios([1.0, 2.0], [1.0])


@pytest.mark.parametrize(("median", "is_reached"), [(3.0, True), (3.01, False)])
def test_a_target_is_reached_by_the_median_up_to_its_value(median: float, is_reached: bool) -> None:
    outcome = Outcome("p50", "x", Spread(1.0, median, 9.0), target=3.0)
    assert outcome.is_reached is is_reached


def test_arrivals_are_repeatable_and_keep_rate_and_length() -> None:
    times = arrivals(200.0, 50.0, Random(1))
    assert times == arrivals(200.0, 50.0, Random(1))
    assert times == sorted(times)
    assert times[-1] < 50.0
    assert fmean(b - a for a, b in pairwise(times)) == pytest.approx(1 / 200, rel=0.1)


async def test_a_slow_answer_does_not_hold_the_next_request_up() -> None:
    running, most = 0, 0

    async def slow(_number: int) -> UUID:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.05)
        running -= 1
        return uuid4()

    shots = await drive([0.0, 0.005, 0.01], slow)
    assert most == 3
    assert [round(each.due - shots[0].due, 3) for each in shots] == [0.0, 0.005, 0.01]
    assert all(each.due <= each.sent < each.answered for each in shots)


async def test_a_refusal_is_kept_with_its_reason() -> None:
    async def refuse(number: int) -> UUID:
        if number == 1:
            raise Refused("429 too many")
        return uuid4()

    first, second = await drive([0.0, 0.0], refuse)
    assert first.job_id is not None
    assert (second.job_id, second.refusal) == (None, "429 too many")


def test_a_job_lasts_until_its_later_row_and_less_what_was_spent_outside() -> None:
    late = job(charged=0.020, listed=0.030, away_ms=12.0)
    assert late.total_ms == pytest.approx(30.0)
    assert late.own_ms == pytest.approx(18.0)
    assert late.answer_ms == pytest.approx(4.0)


def test_a_round_counts_what_it_does_not_measure() -> None:
    done, lost = job(charged=0.01, listed=0.01), Job(shot())
    found = round_of([done.shot, lost.shot, shot(refusal="503 no")], [done, lost], {"kafka": 0.3})
    assert found.jobs == (done,)
    assert found.refusals == ("503 no",)
    assert found.unfinished == 1
    assert found.cpu_ms == {"kafka": pytest.approx(100.0)}
    assert found.lateness.p99 == pytest.approx(1.0)


def test_a_round_without_one_finished_job_says_why() -> None:
    refused = shot(refusal="401 log in")
    with pytest.raises(ValueError, match="401 log in"):
        round_of([refused], [], {})


def test_a_stage_counts_only_jobs_that_have_both_of_its_marks() -> None:
    whole, half = job(charged=0.050, listed=0.010, away_ms=30.0), Job(shot())
    assert Stage("all", "due", CHARGED).times_ms([whole, half]) == [pytest.approx(50.0)]
    own = Stage("own", "due", CHARGED, less_away=True)
    assert own.times_ms([whole, half]) == [pytest.approx(20.0)]


def result(*, ups: tuple[float, ...] = (9.0, 16.0)) -> Result:
    stages = (Stage("POST until 202", "due", "answered"), Stage("never", "due", "unknown"))
    return Result(
        setting=Setting(rate=30, seconds=10, rounds=2, processors=2, load_before=0.5),
        floor=Side((measured(0.010, 0.020), measured(0.010, 0.010)), stages),
        ours=Side((measured(0.020, 0.040), measured(0.030, 0.090)), stages),
        ups=ups,
    )


def test_outcomes_hold_every_figure_against_its_target() -> None:
    p50, p99, first, second = result().outcomes()
    assert p50.measured.minimum == pytest.approx(2.0)
    assert p50.measured.maximum == pytest.approx(3.0)
    assert p99.measured.maximum == pytest.approx(9.0)
    assert (first.is_reached, second.is_reached) == (True, False)


def test_a_running_system_has_no_start_to_be_timed() -> None:
    assert len(result(ups=()).outcomes()) == 2


def test_the_text_names_every_figure_and_whether_it_is_reached() -> None:
    text = report.as_text(result())
    assert "ours: less drawing and upload" in text
    lines = {line[:30].strip(): line for line in text.splitlines()}
    assert lines["first up in a fresh home"].endswith("yes")
    assert lines["second up"].endswith("no")
    assert "never" not in text
    assert all(len(line) <= 120 for line in text.splitlines())


def test_the_json_carries_what_the_text_says() -> None:
    said = json.loads(json.dumps(report.as_json(result())))
    assert [each["is_reached"] for each in said["outcomes"]] == [True, True, True, False]
    assert said["ours"]["stages_ms"]["POST until 202"]["p50"] == pytest.approx(4.0)
    assert said["floor"]["cpu_ms_per_request"] == {"gateway": pytest.approx(250.0)}


def test_all_rounds_are_in_the_profile() -> None:
    ((_, latency),) = result().ours.profile()
    assert latency == Latency.of([each.answer_ms for each in result().ours.jobs])


def test_cpu_time_counts_a_process_and_only_what_it_spent_between() -> None:
    pids = {"mine": os.getpid(), "gone": 2**22 + 1}
    before = cpu.seconds(pids)
    assert before["mine"] > 0
    assert cpu.between(before, before) == {"mine": 0.0, "gone": 0.0}


@pytest.mark.parametrize("text", ["0", "-1", "x", "inf", "nan"])
def test_a_length_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ArgumentTypeError):
        bench._positive(text)


@pytest.mark.parametrize("text", ["0", "1.5", "x", "101"])
def test_a_count_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ArgumentTypeError):
        bench._count(text)


@pytest.mark.parametrize("text", ["999", "1e6", "x", "10000001"])
def test_a_number_of_events_that_measures_nothing_is_refused(text: str) -> None:
    with pytest.raises(ArgumentTypeError):
        bench._events(text)


def test_each_bench_runs_once_and_all_are_all() -> None:
    assert bench.chosen(["relay", "e2e", "relay"]) == ["e2e", "relay"]
    of_streams = ["replay", "rebuild", "live", "consumer", "relay", "why"]
    every = ["e2e", *of_streams, "ledger", "admission", "providers", "streams-sse", "assets"]
    assert bench.chosen(["all"]) == every
    assert bench.chosen(["admission", "ledger"]) == ["ledger", "admission"]


def finding() -> Finding:
    spread = Spread(10.0, 45.0, 50_000.0)
    return Finding(
        bench="replay, usage",
        what="some rows",
        figures=(Figure("floor", "events/s", spread),),
        outcomes=(
            Outcome("of the floor", "%", spread, 40.0, is_least=True),
            Outcome("commit to Kafka", "ms", spread, 5.0),
        ),
    )


def test_a_target_is_the_least_or_the_most_that_the_median_may_be() -> None:
    least, most = finding().outcomes
    assert (least.is_reached, most.is_reached) == (True, False)


def test_a_bench_of_the_streams_says_floor_ours_target_and_verdict() -> None:
    text = finding().as_text()
    assert "10 / 45 / 50,000 events/s" in text
    assert "at least 40: reached" in text
    assert "at most 5: NOT REACHED" in text


def test_all_outcomes_stand_first_in_the_json() -> None:
    found = bench.Found(result(), {"replay": [finding()]})
    said = json.loads(json.dumps(bench.as_json(found)))
    assert [each["bench"] for each in said["outcomes"]] == ["e2e"] * 4 + ["replay, usage"] * 2
    assert said["e2e"]["outcomes"]
    assert said["replay"][0]["figures"][0]["name"] == "floor"
    assert bench.as_text(found).count("\n\nreplay, usage: some rows") == 1
