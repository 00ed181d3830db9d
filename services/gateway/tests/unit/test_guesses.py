"""How often a password may be guessed."""

from datetime import timedelta

import pytest

from libs.events.testing import NOW
from services.gateway.domain.guesses import (
    SHARED,
    WINDOW,
    Bucket,
    TooManyGuesses,
    buckets_of,
    guess,
    household,
)


def attempts(address: str, *, whom: str = "ada@example.com", drained: dict[str, object]) -> bool:
    buckets = buckets_of("log in", whom, address, 3)
    known = {each.subject: drained.get(each.subject, NOW) for each in buckets}
    after = guess(buckets, known, NOW)  # type: ignore[arg-type]  # instants
    if isinstance(after, TooManyGuesses):
        return False
    drained.update(after)
    return True


def test_one_address_is_stopped_and_another_is_not() -> None:
    drained: dict[str, object] = {}
    assert [attempts("192.0.2.1", drained=drained) for _ in range(4)] == [True] * 3 + [False]
    assert attempts("192.0.2.2", drained=drained)
    assert attempts("192.0.2.1", whom="bob@example.com", drained=drained)


def test_many_addresses_and_many_people_are_stopped_too() -> None:
    drained: dict[str, object] = {}
    passed = sum(attempts(f"192.0.2.{n}", drained=drained) for n in range(100))
    assert passed == 3 * SHARED
    drained = {}
    passed = sum(attempts("192.0.2.1", whom=f"p{n}@b.cd", drained=drained) for n in range(100))
    assert passed == 3 * SHARED


def test_one_that_is_refused_is_counted_nowhere() -> None:
    full = Bucket(subject="full", burst=1)
    free = Bucket(subject="free", burst=1)
    refused = guess([full, free], {"full": NOW + WINDOW, "free": NOW}, NOW)
    assert refused == TooManyGuesses(WINDOW)
    assert guess([free], {"free": NOW}, NOW) == {"free": NOW + WINDOW}


def test_time_gives_attempts_back() -> None:
    bucket = Bucket(subject="s", burst=3)
    full = {"s": NOW + WINDOW}
    later = NOW + WINDOW / 3
    assert isinstance(guess([bucket], full, later - timedelta(microseconds=1)), TooManyGuesses)
    assert guess([bucket], full, later) == {"s": later + WINDOW}


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        (None, "unknown"),
        ("testclient", "unknown"),
    ],
)
def test_who_shares_an_address(address: str | None, expected: str) -> None:
    assert household(address) == expected
