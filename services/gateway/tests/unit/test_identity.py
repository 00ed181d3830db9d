"""E-mails, passwords, names, and the flood ceiling."""

from uuid import uuid4

import pytest

from libs.runtime.clock import SystemClock
from services.gateway.domain.identity import (
    check_display_name,
    check_email,
    check_password,
    normalise_email,
)
from services.gateway.domain.limits import Limit
from services.gateway.domain.text import InvalidRequestError
from services.gateway.handlers.errors import Flooded
from services.gateway.handlers.flood import FloodGate


def test_addresses_are_trimmed_and_lower_cased() -> None:
    assert check_email("  User@Example.COM \n") == "user@example.com"
    assert normalise_email("A@B.c") == "a@b.c"


@pytest.mark.parametrize(
    "email",
    [
        None,
        "",
        "user",
        "user@",
        "@example.com",
        "user@example",
        "a b@example.com",
        "a@b@c.de",
        "a@example..com",
        "nul\0@example.com",
        "x" * 250 + "@example.com",
        "\ud800@example.com",
    ],
)
def test_what_is_no_address_is_refused_with_the_text_clients_know(email: str | None) -> None:
    with pytest.raises(InvalidRequestError, match="valid email"):
        check_email(email)


@pytest.mark.parametrize("password", [None, "", "1234567"])
def test_a_short_password_is_refused_with_the_text_clients_know(password: str | None) -> None:
    with pytest.raises(InvalidRequestError, match="Password must be at least 8"):
        check_password(password)


@pytest.mark.parametrize("password", ["x" * 1_025, "nul\0nul\0nul", "\ud800" * 8])
def test_a_password_that_cannot_be_hashed_is_refused(password: str) -> None:
    with pytest.raises(InvalidRequestError):
        check_password(password)


def test_a_password_is_taken_as_it_is() -> None:
    assert check_password("  spaces  ") == "  spaces  "


def test_a_blank_name_is_no_name() -> None:
    assert check_display_name("  ") is None
    assert check_display_name(" Ada ") == "Ada"
    with pytest.raises(InvalidRequestError):
        check_display_name("x" * 101)


class FrozenClock(SystemClock):
    """Time that passes when a test says so."""

    seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds


def test_the_flood_gate_lets_a_minutes_worth_through_and_then_one_by_one() -> None:
    clock = FrozenClock()
    gate = FloodGate(clock, Limit(per_minute=120))
    flooder, other = uuid4(), uuid4()
    for _ in range(120):
        gate.pass_one(flooder)
    with pytest.raises(Flooded) as caught:
        gate.pass_one(flooder)
    assert caught.value.retry_after_seconds == pytest.approx(0.5)
    gate.pass_one(other)
    clock.seconds = 0.5
    gate.pass_one(flooder)
