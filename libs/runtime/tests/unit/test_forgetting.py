"""What is left of an encoded event of an erased person."""

from pathlib import Path

import msgspec
import pytest

from libs.events.registry import REGISTRY
from libs.runtime.erasure import forget_encoded

SAMPLES = Path(__file__).parents[3] / "events" / "samples"


def sample(name: str) -> bytes:
    return msgspec.json.encode(msgspec.json.decode((SAMPLES / f"{name}.json").read_bytes()))


@pytest.mark.parametrize("name", ["daygen.credits.captured.1", "daygen.credits.granted.1"])
def test_what_holds_no_words_stays_byte_for_byte_whatever_its_version(name: str) -> None:
    """The ledger's log has signed it."""
    encoded = sample(name)
    account_id = REGISTRY.decode(encoded).data.account
    assert account_id is not None
    assert forget_encoded(encoded, {account_id}) == encoded


def test_words_go() -> None:
    encoded = sample("daygen.generation.requested.1")
    event = REGISTRY.decode(encoded)
    assert event.data.account is not None
    left = forget_encoded(encoded, {event.data.account})
    assert left is not None
    assert left != encoded
    assert b'"prompt":""' in left
