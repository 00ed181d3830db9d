"""The tree of refusals."""

import pytest

from libs.runtime import errors
from libs.runtime.errors import DomainError, Kind, PaymentRequired, TooManyRequests


def kinds() -> list[type[DomainError]]:
    direct = DomainError.__subclasses__()
    return [each for each in direct if each.__module__ == errors.__name__]


def test_every_kind_has_one_class_and_a_code_of_its_own() -> None:
    assert {each.kind for each in kinds()} == set(Kind)
    assert len({each.code for each in kinds()}) == len(kinds())


def test_the_docstring_draws_every_kind() -> None:
    drawn = errors.__doc__ or ""
    assert all(f"-- {each.__name__} " in drawn for each in kinds())


def test_an_error_carries_its_code_sentence_and_details() -> None:
    class InsufficientCredits(PaymentRequired):
        code = "insufficient_credits"

    error = InsufficientCredits("Buy more credits.", details={"available": 3})
    assert (error.code, error.kind, str(error)) == (
        "insufficient_credits",
        Kind.PAYMENT_REQUIRED,
        "Buy more credits.",
    )
    assert error.details == {"available": 3}


def test_a_code_that_is_no_snake_case_is_refused_where_the_class_is_written() -> None:
    with pytest.raises(TypeError, match="snake_case"):
        type("Bad", (PaymentRequired,), {"code": "Not A Code"})


def test_outages_are_transient_and_refusals_are_not() -> None:
    transient = {each.kind for each in kinds() if each.is_transient}
    assert transient == {Kind.BAD_GATEWAY, Kind.UNAVAILABLE, Kind.GATEWAY_TIMEOUT}


def test_a_limit_says_when_to_come_back() -> None:
    assert TooManyRequests("Wait.", retry_after_seconds=2.5).retry_after_seconds == 2.5
