"""Billing has lost its database: it records again what it has confirmed, and confirms nothing."""

import pytest

from libs.events.bus import KafkaBus
from libs.runtime import recovery
from libs.runtime.testing import Streams
from libs.runtime.testing_recovery import Habits, assert_comes_back, assert_confirms_once
from services.billing import consumers

HABITS = Habits(
    history=consumers.HISTORY,
    topics=consumers.TOPICS,
    types=consumers.EVENT_TYPES,
    handler=consumers.record,
)


async def test_it_comes_back_as_it_was_and_says_nothing_again(
    streams: Streams, emptied: Streams, bus: KafkaBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through deaths before and after many of its commits."""
    monkeypatch.setattr(recovery, "RECORDS_MAX", 3)
    await assert_comes_back(streams, emptied, bus, HABITS)


async def test_what_came_while_it_was_away_is_confirmed_once(
    streams: Streams, emptied: Streams, bus: KafkaBus
) -> None:
    await assert_confirms_once(streams, emptied, bus, HABITS, jobs=12)
