"""When a call is repeated, and after how long."""

from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from libs.events.testing import NOW
from services.generation.adapters.http.patience import Patience, is_worth_repeating, rest_hint


def test_only_what_made_nothing_is_repeated_where_it_costs() -> None:
    assert [each for each in range(200, 600) if is_worth_repeating(each, is_safe=False)] == [429]
    safe = [each for each in range(200, 600) if is_worth_repeating(each, is_safe=True)]
    assert safe == [408, 425, 429, 500, 502, 503, 504]


RETRY_INFO = {"error": {"details": [{"@type": "x"}, {"retryDelay": "34.5s"}]}}


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"retry-after": "7"}, None, 7.0),
        ({"retry-after-ms": "250", "retry-after": "7"}, None, 0.25),
        ({"retry-after": format_datetime(NOW + timedelta(seconds=90))}, None, 90.0),
        ({}, RETRY_INFO, 34.5),
        ({}, {"error": {"details": [{"retryDelay": 5}, "x"]}}, None),
        ({}, {"error": "text"}, None),
        ({}, ["a", "list"], None),
        ({"retry-after": "soon"}, None, None),
        ({"retry-after": "-1"}, None, None),
        ({"retry-after": "nan"}, None, None),
        ({}, None, None),
    ],
)
def test_how_long_a_provider_wants_to_rest(
    headers: dict[str, str], body: Any, seconds: float | None
) -> None:
    found = rest_hint(headers, body, NOW.replace(microsecond=0))
    assert found == seconds or (found is not None and abs(found - (seconds or 0)) <= 1)


def test_waits_double_with_jitter_unless_they_are_asked_for() -> None:
    patience = Patience(first_seconds=1.0)
    assert [patience.wait_seconds(tries, None, 1.0) for tries in (1, 2, 3)] == [1.0, 2.0, 4.0]
    assert patience.wait_seconds(1, None, 0.0) == 0.5
    assert 3.0 <= patience.wait_seconds(5, 3.0, 0.7) <= 3.3
