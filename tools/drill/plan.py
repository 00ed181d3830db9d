"""Which faults a drill makes, in which order: decided by its seed alone."""

from enum import StrEnum
from itertools import chain, zip_longest
from random import Random

from msgspec import Struct

from libs.events.names import Service

SERVICES = tuple(service.value for service in Service)
PARTS = (*SERVICES, "kafka", "postgres", "s3")
FREEZES, CUTS, DELAYS, REDELIVERIES = 3, 2, 1, 2
FROZEN_SECONDS = (1.0, 4.0)
# Longer than Kafka waits for a member's sign of life: who wakes up after it is a zombie.
FROZEN_LONG_SECONDS = (11.0, 13.0)
# A relay goes on with its shares for up to 5 s, before it asks for them again and gets none.
DELAY_SECONDS = (9.0, 14.0)
COPIES = (20, 60)
PAUSE_SECONDS = (0.2, 1.5)
HURRIED = 0.3


class Kind(StrEnum):
    """What can happen to a part."""

    KILL = "kill"
    FREEZE = "freeze"
    CUT = "cut"
    DELAY = "delay"
    REDELIVER = "redeliver"


class Fault(Struct, frozen=True, kw_only=True):
    """One fault. A hurried one is followed by the next before anything has recovered from it."""

    kind: Kind
    part: str
    pause_seconds: float
    seconds: float = 0.0
    copies: int = 0
    is_hurried: bool = False


def plan(seed: int, rounds: int, faults_max: int | None = None) -> list[Fault]:
    """The faults of all rounds: every part is killed once a round, and more befalls some.

    `faults_max` keeps each round to its first ones; the kinds take turns, so even a short round
    has seen all of them.
    """
    random = Random(seed)  # noqa: S311  # a plan to be repeated, not a secret
    faults: list[Fault] = []
    for _ in range(rounds):
        faults += _round(random)[:faults_max]
    return faults


def _round(random: Random) -> list[Fault]:
    kinds = [
        [_fault(random, Kind.KILL, part) for part in random.sample(PARTS, len(PARTS))],
        [_fault(random, Kind.FREEZE, part) for part in random.sample(PARTS, FREEZES)],
        [_fault(random, Kind.CUT, part) for part in random.sample(SERVICES, CUTS)],
        [_fault(random, Kind.REDELIVER, part) for part in random.sample(SERVICES, REDELIVERIES)],
        [_fault(random, Kind.DELAY, part) for part in random.sample(SERVICES, DELAYS)],
    ]
    random.shuffle(kinds)
    return [fault for fault in chain(*zip_longest(*kinds)) if fault is not None]


def _fault(random: Random, kind: Kind, part: str) -> Fault:
    seconds = 0.0
    if kind is Kind.FREEZE:
        is_long = part in SERVICES and random.random() < 0.5
        seconds = random.uniform(*(FROZEN_LONG_SECONDS if is_long else FROZEN_SECONDS))
    elif kind is Kind.DELAY:
        seconds = random.uniform(*DELAY_SECONDS)
    return Fault(
        kind=kind,
        part=part,
        pause_seconds=round(random.uniform(*PAUSE_SECONDS), 2),
        seconds=round(seconds, 1),
        copies=random.randint(*COPIES) if kind is Kind.REDELIVER else 0,
        is_hurried=random.random() < HURRIED,
    )
