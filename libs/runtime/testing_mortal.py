"""A service in a process of its own that kills itself, with -9, at a point that a test names.

    python -m libs.runtime.testing_mortal services.ledger.app:create_app ledger applied PREFIX

It runs the service as it is, on real parts; only the bus and the transaction are wrapped, so that
the process can end between two of their calls. It does so at the first time the point is reached
after the signal SIGUSR1. The first line that it prints is its address.
"""

import asyncio
import importlib
import os
import signal
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from random import SystemRandom
from typing import Any

from fastapi import FastAPI

from libs.events.bus import KafkaBus
from libs.events.names import Service
from libs.events.subscription import KafkaSubscription
from libs.events.transport import Assigned, IncomingMessage, OutgoingMessage, Partition
from libs.runtime import db
from libs.runtime.clock import SystemClock
from libs.runtime.ids import SystemIds
from libs.runtime.service import Parts
from libs.runtime.testing_http import serving
from libs.runtime.wakeups import Wakeups


class Point(StrEnum):
    """Where a process may end."""

    NEVER = "never"
    RECEIVED = "received"  # messages have come, nothing is done yet
    APPLIED = "applied"  # every statement of a transaction has run, its commit has not
    COMMITTED = "committed"  # Postgres has confirmed the commit; nobody has been told
    REPORTING = "reporting"  # after the commit, before Kafka hears of the offsets
    PUBLISHING = "publishing"  # rows of the outbox are in hand, none is published
    PUBLISHED = "published"  # Kafka has stored them, they are not marked yet


class _Fate:
    """Knows the point, and whether it is time."""

    def __init__(self, point: Point) -> None:
        self._point = point
        self._is_armed = False
        signal.signal(signal.SIGUSR1, self._arm)

    def _arm(self, *_: object) -> None:
        self._is_armed = True

    def reach(self, point: Point) -> None:
        if self._is_armed and point is self._point:
            os.kill(os.getpid(), signal.SIGKILL)


class _MortalSubscription(KafkaSubscription):
    fate: _Fate

    async def fetch(self, *, records_max: int, timeout_seconds: float) -> Sequence[IncomingMessage]:
        messages = await super().fetch(records_max=records_max, timeout_seconds=timeout_seconds)
        if messages:
            self.fate.reach(Point.RECEIVED)
        return messages

    async def report(self, next_offsets: Mapping[Partition, int]) -> None:
        self.fate.reach(Point.REPORTING)
        await super().report(next_offsets)


class _MortalBus(KafkaBus):
    fate: _Fate

    async def publish(self, messages: Sequence[OutgoingMessage]) -> Sequence[BaseException | None]:
        self.fate.reach(Point.PUBLISHING)
        outcomes = await super().publish(messages)
        self.fate.reach(Point.PUBLISHED)
        return outcomes

    async def subscribe(
        self, *, group: str, topics: Iterable[str], assigned: Assigned, pace_seconds: float = 0.0
    ) -> KafkaSubscription:
        subscription = await super().subscribe(
            group=group, topics=topics, assigned=assigned, pace_seconds=pace_seconds
        )
        subscription.__class__ = _MortalSubscription
        vars(subscription)["fate"] = self.fate
        return subscription


def _mortal_transaction(fate: _Fate) -> type[db.Transaction]:
    class MortalTransaction(db.Transaction):
        async def flush(self) -> None:
            await super().flush()
            fate.reach(Point.APPLIED)

        def committed(self, wakeups: Wakeups) -> None:
            fate.reach(Point.COMMITTED)
            super().committed(wakeups)

    return MortalTransaction


async def main(factory: str, service: Service, point: Point, prefix: str) -> None:
    """Serve until killed."""
    fate = _Fate(point)
    db.Transaction = _mortal_transaction(fate)  # type: ignore[misc]  # the real one, and its end
    clock, random = SystemClock(), SystemRandom()
    bus = _MortalBus(
        os.environ[f"{service.upper()}_KAFKA_BOOTSTRAP"],
        client_id=service.value,
        prefix=prefix,
        member=os.environ.get(f"{service.upper()}_REPLICA"),
    )
    bus.fate = fate
    parts = Parts(clock=clock, random=random, ids=SystemIds(clock, random), bus=bus)
    async with serving(_factory(factory)(parts=parts)) as url:
        print(url, flush=True)  # noqa: T201  # what the test waits for
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # nobody reads on: a pipe would fill up
        await asyncio.Event().wait()


def _factory(name: str) -> Callable[..., FastAPI]:
    module, _, attribute = name.partition(":")
    found: Any = getattr(importlib.import_module(module), attribute)
    return found  # type: ignore[no-any-return]


if __name__ == "__main__":
    factory, service, point, prefix = sys.argv[1:]
    asyncio.run(main(factory, Service(service), Point(point), prefix))
