"""When a consumer counts as stuck, and when starting it again would help nobody."""

from collections.abc import Mapping
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from libs.events.transport import BusError, Partition
from libs.runtime.clock import SystemClock
from libs.runtime.watchdog import Watchdog

PARTITION = Partition("daygen.generation", UUID(int=1), 0)
STUCK_SECONDS = 60.0
LOOKS = 6


class Reader:
    """A consumer as the watchdog sees it."""

    name = "daygen.ledger"

    def __init__(self) -> None:
        self.places = {PARTITION: 5}
        self.is_behind_now = True
        self.is_kafka_away = False
        self.is_database_away = False

    def progress(self) -> Mapping[Partition, int]:
        return dict(self.places)

    async def is_behind(self) -> bool:
        if self.is_kafka_away:
            raise BusError("down")
        return self.is_behind_now

    async def ask_database(self) -> None:
        if self.is_database_away:
            raise ConnectionRefusedError


@pytest.fixture
def reader() -> Reader:
    return Reader()


@pytest.fixture
def watchdog(reader: Reader) -> Watchdog:
    return Watchdog(
        reader,
        is_database_ready=reader.ask_database,
        clock=SystemClock(),
        stuck_seconds=STUCK_SECONDS,
    )


def is_stuck(watchdog: Watchdog) -> bool:
    return watchdog.verdict is not None


async def look(watchdog: Watchdog, times: int) -> None:
    for _ in range(times):
        await watchdog.look()


async def test_a_consumer_that_reads_nothing_of_what_there_is_fails_after_its_time(
    reader: Reader, watchdog: Watchdog
) -> None:
    await look(watchdog, 1)  # the first look has nothing to compare with
    await look(watchdog, LOOKS - 1)
    assert not is_stuck(watchdog)
    with capture_logs() as lines:
        await look(watchdog, 3)
    assert is_stuck(watchdog)
    assert "daygen.ledger" in (watchdog.verdict or "")
    assert [line["event"] for line in lines] == ["consumer_stuck"]


async def test_a_verdict_is_taken_back_when_something_moves(
    reader: Reader, watchdog: Watchdog
) -> None:
    await look(watchdog, 1 + LOOKS)
    assert is_stuck(watchdog)
    reader.places[PARTITION] += 1
    await look(watchdog, 1)
    assert not is_stuck(watchdog)


async def test_a_slow_consumer_is_not_stuck(reader: Reader, watchdog: Watchdog) -> None:
    for _ in range(5):
        await look(watchdog, LOOKS - 1)
        reader.places[PARTITION] += 1
    assert not is_stuck(watchdog)


@pytest.mark.parametrize("why", ["idle", "kafka", "database"])
async def test_waiting_for_others_or_for_nothing_is_not_being_stuck(
    reader: Reader, watchdog: Watchdog, why: str
) -> None:
    reader.is_behind_now = why != "idle"
    reader.is_kafka_away = why == "kafka"
    reader.is_database_away = why == "database"
    await look(watchdog, 5 * LOOKS)
    assert not is_stuck(watchdog)
    # And it begins to count only once the others are back.
    reader.is_behind_now, reader.is_kafka_away, reader.is_database_away = True, False, False
    await look(watchdog, LOOKS - 1)
    assert not is_stuck(watchdog)
    await look(watchdog, 1)
    assert is_stuck(watchdog)
