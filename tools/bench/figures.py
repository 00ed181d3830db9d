"""Percentiles, spreads over rounds, and figures held against their targets."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest rank: the smallest value that at least `percent` of all do not exceed."""
    if not values:
        raise ValueError("there is no percentile of nothing")
    rank = math.ceil(percent / 100 * len(values))
    return sorted(values)[max(rank, 1) - 1]


@dataclass(frozen=True, slots=True)
class Latency:
    """The two percentiles that we promise."""

    p50: float
    p99: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Latency":
        return cls(percentile(values, 50), percentile(values, 99))


@dataclass(frozen=True, slots=True)
class Spread:
    """One figure over the rounds."""

    minimum: float
    median: float
    maximum: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(min(values), percentile(values, 50), max(values))


@dataclass(frozen=True, slots=True)
class Outcome:
    """A figure and its target, the most that its median may be, or the least (`is_least`)."""

    name: str
    unit: str
    measured: Spread
    target: float
    is_least: bool = False

    @property
    def is_reached(self) -> bool:
        median = self.measured.median
        return median >= self.target if self.is_least else median <= self.target


def ratios(ours: Sequence[float], floor: Sequence[float]) -> Spread:
    """Ours over the floor's, round by round: both of a round saw the same noise."""
    return Spread.of([mine / least for mine, least in zip(ours, floor, strict=True)])
