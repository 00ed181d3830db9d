"""Which requests are refused because nobody can do them."""

import pytest

from libs.events.generation import FailureCode
from libs.events.testing import request_facts
from services.generation.adapters.local import CAPABILITIES
from services.generation.domain.capabilities import refusal

OFFERED = {"local": CAPABILITIES}
FINE = request_facts(model="local-sketch")


def test_what_a_provider_can_do_is_not_refused() -> None:
    assert refusal(OFFERED, FINE) is None


@pytest.mark.parametrize(
    ("changes", "code", "word"),
    [
        ({"provider": "nobody"}, FailureCode.UNPROCESSABLE, "local"),
        ({"operation": "sing"}, FailureCode.UNPROCESSABLE, "image"),
        ({"model": "gone"}, FailureCode.NOT_FOUND, "local-sketch"),
        ({"units": 0}, FailureCode.BAD_REQUEST, "1 to 8"),
        ({"units": 9}, FailureCode.BAD_REQUEST, "1 to 8"),
    ],
)
def test_a_refusal_says_what_could_be_asked_for(
    changes: dict[str, object], code: FailureCode, word: str
) -> None:
    failure = refusal(OFFERED, request_facts(**{"model": "local-sketch", **changes}))
    assert failure is not None
    assert failure.code is code
    assert word in failure.message
