"""What a person types after `./daygen why`."""

import argparse
from datetime import UTC, datetime, timedelta, timezone
from uuid import uuid4

import pytest

from infra.local.problem import Problem
from tools.commands import why
from tools.times import moment, moment_argument, seconds_argument, span

ZONE = timezone(timedelta(hours=2))
NOW = datetime(2026, 11, 21, 9, 30, tzinfo=ZONE)


def at(day: int, hour: int, minute: int = 0, second: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, second, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("yesterday 14:32", at(20, 12, 32)),
        ("Today 8:05:09", at(21, 6, 5, 9)),
        ("14:32", at(21, 12, 32)),
        ("15m ago", at(21, 7, 15)),
        ("2h", at(21, 5, 30)),
        ("2026-11-20T14:32:00Z", at(20, 14, 32)),
        ("2026-11-20 14:32", at(20, 12, 32)),
    ],
)
def test_a_time_is_what_a_person_means(text: str, meant: datetime) -> None:
    assert moment(text, NOW) == meant


@pytest.mark.parametrize("text", ["", "soon", "25:00", "yesterday", "14:99", "2026-13-01"])
def test_what_is_no_time_is_refused_with_examples(text: str) -> None:
    with pytest.raises(Problem, match="is no time: write"):
        moment(text, NOW)


def test_an_argument_that_is_no_time_is_one_of_argparse() -> None:
    assert moment_argument("2026-11-20 14:32", UTC) == "2026-11-20T14:32:00+00:00"
    assert seconds_argument("2h") == 7_200
    for read in (moment_argument, seconds_argument):
        with pytest.raises(argparse.ArgumentTypeError, match="write"):
            read("soon")


def test_a_span_has_a_unit() -> None:
    assert span("90s") == timedelta(seconds=90)
    with pytest.raises(Problem, match="no length of time"):
        span("5")


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    why.configure(parser)
    return parser.parse_args(words)


def test_the_gateway_is_asked_for_what_was_typed() -> None:
    user = uuid4()
    arguments = parsed("--user", str(user), "--at", "14:32", "--around", "1h", "--failed")
    assert why.query_of(arguments, NOW) == {
        "limit": 10,
        "userId": str(user),
        "failed": "true",
        "since": at(21, 11, 32).isoformat(),
        "until": at(21, 13, 32).isoformat(),
    }


@pytest.mark.parametrize("words", [("--job", str(uuid4()), "--failed"), ("--around", "5m")])
def test_what_does_not_go_together_is_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(Problem, match="give"):
        why.query_of(parsed(*words), NOW)
