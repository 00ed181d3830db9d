"""What services share of bodies: texts that can be stored, reasons that say something."""

import json
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from libs.runtime.http.bodies import REASON_CHARS_MAX, Reason, StrictBody, Text

UNSTORABLE = ("nul \0", "half a pair \ud83d", "\udc00")


class Order(StrictBody):
    unit_credits: int
    reason: Reason


def order(**changes: Any) -> dict[str, Any]:
    return {"unitCredits": 1, "reason": "A mistake.", **changes}


@pytest.mark.parametrize("text", UNSTORABLE)
def test_a_text_that_postgres_does_not_take_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Text).validate_python(text)


def test_a_reason_is_trimmed_and_kept() -> None:
    assert Order.model_validate(order(reason=" Why. ")).reason == "Why."
    longest = "x" * REASON_CHARS_MAX
    assert Order.model_validate(order(reason=longest)).reason == longest


@pytest.mark.parametrize("reason", ["", "  ", "x" * (REASON_CHARS_MAX + 1), None, 1, *UNSTORABLE])
def test_what_is_no_reason_is_refused(reason: Any) -> None:
    with pytest.raises(ValidationError):
        Order.model_validate(order(reason=reason))
    with pytest.raises(ValidationError):
        Order.model_validate_json(json.dumps(order(reason=reason)))


def test_a_command_takes_no_field_that_it_does_not_know() -> None:
    with pytest.raises(ValidationError, match="more"):
        Order.model_validate(order(more=1))
