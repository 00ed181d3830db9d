"""BlurHash: a few colours of a picture as a short text, to be shown until the picture is there.

Source: https://github.com/woltapp/blurhash/blob/master/Algorithm.md
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from operator import mul
from typing import Final

_DIGITS: Final = (
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~"
)
_MAXIMUM_STEPS: Final = 82
_STEPS: Final = 9  # from the middle of 19 to either end

Colour = tuple[float, float, float]


def _linear(value: int) -> float:
    share = value / 255
    return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4


_LINEAR: Final = [_linear(value) for value in range(256)]


def encode(pixels: Sequence[tuple[int, int, int]], width: int, across: int, down: int) -> str:
    """The hash of a picture, given as sRGB pixels row by row.

    `across` x `down` waves (1 to 9 each) are kept; some 30 pixels a side are enough to find them.
    """
    colours = [
        _waves([_LINEAR[value] for value in each], width, across, down)
        for each in zip(*pixels, strict=True)
    ]
    waves: list[Colour] = list(zip(*colours, strict=True))
    average, details = waves[0], waves[1:]
    largest = max((abs(each) for wave in details for each in wave), default=0.0)
    step = max(0, min(_MAXIMUM_STEPS, math.floor(largest * 166 - 0.5)))
    maximum = (step + 1) / 166
    parts = [
        _digits((across - 1) + (down - 1) * 9, 1),
        _digits(step if details else 0, 1),
        _digits(_average(average), 4),
    ]
    return "".join(parts + [_digits(_detail(wave, maximum), 2) for wave in details])


def _waves(colour: Sequence[float], width: int, across: int, down: int) -> list[float]:
    """How much of each cosine wave is in one of the colours.

    Each is a wave across times a wave down: so the rows are summed up first, then their sums.
    """
    rows = [colour[start : start + width] for start in range(0, len(colour), width)]
    by_row = [[_sum(row, _cosines(x, width)) for row in rows] for x in range(across)]
    found = [
        _sum(by_row[x], _cosines(y, len(rows))) * 2 / len(colour)
        for y in range(down)
        for x in range(across)
    ]
    found[0] /= 2
    return found


def _sum(values: Sequence[float], weights: Sequence[float]) -> float:
    total: float = sum(map(mul, values, weights))
    return total


@lru_cache(maxsize=64)
def _cosines(wave: int, size: int) -> list[float]:
    return [math.cos(math.pi * wave * place / size) for place in range(size)]


def _average(colour: Colour) -> int:
    red, green, blue = map(_srgb, colour)
    return (red << 16) + (green << 8) + blue


def _detail(colour: Colour, maximum: float) -> int:
    red, green, blue = (_quantised(each / maximum) for each in colour)
    return (red * 19 + green) * 19 + blue


def _quantised(share: float) -> int:
    root = math.copysign(math.sqrt(abs(share)), share)
    return max(0, min(2 * _STEPS, math.floor(root * _STEPS + _STEPS + 0.5)))


def _srgb(share: float) -> int:
    share = max(0.0, min(1.0, share))
    value = share * 12.92 if share <= 0.0031308 else 1.055 * share ** (1 / 2.4) - 0.055
    return int(value * 255 + 0.5)


def _digits(value: int, length: int) -> str:
    return "".join(_DIGITS[value // 83**place % 83] for place in range(length - 1, -1, -1))
