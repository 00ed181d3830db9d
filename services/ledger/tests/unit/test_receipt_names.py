"""Receipts are verified without us, so their library names the events itself: as the bus does."""

from libs.events.names import EventType
from libs.proofs import receipts


def test_receipts_name_events_as_they_are_published() -> None:
    assert EventType.CREDITS_RESERVED.value == receipts.RESERVED
    assert EventType.CREDITS_CAPTURED.value == receipts.CAPTURED
    assert EventType.CREDITS_RELEASED.value == receipts.RELEASED
