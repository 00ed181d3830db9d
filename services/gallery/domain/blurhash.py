"""BlurHash: a few colours of a picture as a short text, to be shown until the picture is there.

Source: https://github.com/woltapp/blurhash/blob/master/Algorithm.md
"""

import math
from collections.abc import Sequence
from typing import Final

_DIGITS: Final = (
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~"
)
_MAXIMUM_STEPS: Final = 82
_STEPS: Final = 9  # from the middle of 19 to either end

Colour = tuple[float, float, float]


def encode(pixels: Sequence[tuple[int, int, int]], width: int, across: int, down: int) -> str:
    """The hash of a picture, given as sRGB pixels row by row.

    `across` x `down` waves (1 to 9 each) are kept; some 30 pixels a side are enough to find them.
    """
    linear = [(_linear(red), _linear(green), _linear(blue)) for red, green, blue in pixels]
    waves = [_wave(linear, width, x, y) for y in range(down) for x in range(across)]
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


def _wave(linear: Sequence[Colour], width: int, x: int, y: int) -> Colour:
    """How much of one cosine wave is in each of the colours."""
    height = len(linear) // width
    columns = [math.cos(math.pi * x * column / width) for column in range(width)]
    red = green = blue = 0.0
    for row in range(height):
        in_row = math.cos(math.pi * y * row / height)
        for place, (each_red, each_green, each_blue) in zip(
            columns, linear[row * width : (row + 1) * width], strict=True
        ):
            weight = place * in_row
            red += weight * each_red
            green += weight * each_green
            blue += weight * each_blue
    scale = (1 if x == 0 and y == 0 else 2) / len(linear)
    return red * scale, green * scale, blue * scale


def _average(colour: Colour) -> int:
    red, green, blue = map(_srgb, colour)
    return (red << 16) + (green << 8) + blue


def _detail(colour: Colour, maximum: float) -> int:
    red, green, blue = (_quantised(each / maximum) for each in colour)
    return (red * 19 + green) * 19 + blue


def _quantised(share: float) -> int:
    root = math.copysign(math.sqrt(abs(share)), share)
    return max(0, min(2 * _STEPS, math.floor(root * _STEPS + _STEPS + 0.5)))


def _linear(value: int) -> float:
    share = value / 255
    return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4


def _srgb(share: float) -> int:
    share = max(0.0, min(1.0, share))
    value = share * 12.92 if share <= 0.0031308 else 1.055 * share ** (1 / 2.4) - 0.055
    return int(value * 255 + 0.5)


def _digits(value: int, length: int) -> str:
    return "".join(_DIGITS[value // 83**place % 83] for place in range(length - 1, -1, -1))
