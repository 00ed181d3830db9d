"""Lines and outlines: regular ones, random ones, and parts of them."""

import math
import random
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

Points = list[tuple[float, float]]
Curve = Callable[[float], float]


class Stretch(NamedTuple):
    """A part of a line, with a point more at either end where there is one."""

    points: Points
    ends: tuple[tuple[float, float], tuple[float, float]]


def stretches(line: Points, count: int) -> list[Stretch]:
    marks = [(len(line) - 1) * each // count for each in range(count + 1)]
    return [
        Stretch(line[max(0, start - 1) : end + 2], (line[start], line[end]))
        for start, end in pairwise(marks)
    ]


def slab(outline: Points, left: float, right: float) -> Points:
    """What of an outline lies between two columns."""
    for side, sign in ((left, 1), (right, -1)):
        kept: Points = []
        if not outline:
            return kept
        before, height = outline[-1]
        was_inside = (before - side) * sign >= 0
        for x, y in outline:
            is_inside = (x - side) * sign >= 0
            if is_inside != was_inside:
                kept.append((side, height + (y - height) * (side - before) / (x - before)))
            if is_inside:
                kept.append((x, y))
            before, height, was_inside = x, y, is_inside
        outline = kept
    return outline


def ellipse(centre: tuple[float, float], across: float, down: float, turn: float = 0.0) -> Points:
    """The outline of an ellipse, turned by `turn` radians."""
    count = 96
    cos, sin = math.cos(turn), math.sin(turn)
    outline = []
    for index in range(count):
        angle = 2 * math.pi * index / count
        x, y = across * math.cos(angle), down * math.sin(angle)
        outline.append((centre[0] + x * cos - y * sin, centre[1] + x * sin + y * cos))
    return outline


def line(width: int, count: int, base: float, swell: float, curve: Curve) -> Points:
    """A line from edge to edge: around `base` pixels from the top, following a curve."""
    return [(width * each / count, base + swell * curve(each / count)) for each in range(count + 1)]


def waves(rnd: random.Random, octaves: int, frequency: float, fall: float = 0.5) -> Curve:
    """A smooth random function of 0 to 1 with values between about -1 and 1."""
    total = sum(fall**each for each in range(octaves))
    parts = [
        (
            2 * math.pi * frequency * 2**each * rnd.uniform(0.85, 1.2),
            rnd.uniform(0, 2 * math.pi),
            fall**each / total,
        )
        for each in range(octaves)
    ]

    def curve(x: float) -> float:
        height = 0.0
        for rate, phase, weight in parts:
            height += weight * math.sin(rate * x + phase)
        return height

    return curve


def fractal(rnd: random.Random, levels: int, roughness: float) -> list[float]:
    """Heights of a jagged line by midpoint displacement: 2 ** levels + 1 values, about -1 to 1."""
    draw = rnd.random
    heights, amplitude = [draw() - 0.5, draw() - 0.5], 1.4
    for _ in range(levels):
        finer = heights[:1]
        for before, after in pairwise(heights):
            finer += ((before + after) / 2 + amplitude * (draw() - 0.5), after)
        heights = finer
        amplitude *= roughness
    return heights
