"""The hash against its own decoding, written from the other half of its description."""

import math

import pytest

from services.gallery.domain import blurhash

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~"
SIDE = 32


def value(text: str) -> int:
    number = 0
    for character in text:
        number = number * 83 + DIGITS.index(character)
    return number


def linear(share: int) -> float:
    part = share / 255
    return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4


def srgb(share: float) -> float:
    share = min(1.0, max(0.0, share))
    return 255 * (share * 12.92 if share <= 0.0031308 else 1.055 * share ** (1 / 2.4) - 0.055)


def decode(text: str, across: int, down: int) -> list[tuple[float, float, float]]:
    """Each place's colour; `across` x `down` places."""
    size = value(text[0])
    columns, rows = size % 9 + 1, size // 9 + 1
    assert len(text) == 4 + 2 * columns * rows
    maximum = (value(text[1]) + 1) / 166
    average = value(text[2:6])
    waves = [tuple(linear(average >> shift & 255) for shift in (16, 8, 0))]
    for place in range(1, columns * rows):
        packed = value(text[4 + place * 2 : 6 + place * 2])
        parts = (packed // 361, packed // 19 % 19, packed % 19)
        waves.append(
            tuple(math.copysign(((part - 9) / 9) ** 2, part - 9) * maximum for part in parts)
        )
    found = []
    for y in range(down):
        for x in range(across):
            sums = [0.0, 0.0, 0.0]
            for index, wave in enumerate(waves):
                weight = math.cos(math.pi * x * (index % columns) / across) * math.cos(
                    math.pi * y * (index // columns) / down
                )
                for colour in range(3):
                    sums[colour] += wave[colour] * weight
            found.append((srgb(sums[0]), srgb(sums[1]), srgb(sums[2])))
    return found


def test_a_plain_picture_is_its_colour() -> None:
    text = blurhash.encode([(200, 30, 90)] * SIDE * SIDE, SIDE, 4, 3)
    assert len(text) == 28
    # The waves begin at an edge, not in the middle between two: corners come out lighter.
    for red, green, blue in decode(text, 4, 4):
        assert (red, green, blue) == pytest.approx((200, 30, 90), abs=20)


def test_light_and_dark_stay_where_they_are() -> None:
    pixels = [
        (255, 255, 255) if x < SIDE // 2 else (0, 0, 120) for _ in range(SIDE) for x in range(SIDE)
    ]
    left, _, _, right = decode(blurhash.encode(pixels, SIDE, 4, 3), 4, 1)
    assert min(left) > 200
    assert max(right[:2]) < 60
    assert right[2] > right[0]


def test_above_and_below_are_not_taken_for_left_and_right() -> None:
    pixels = [
        (255, 0, 0) if y < SIDE // 2 else (0, 255, 0) for y in range(SIDE) for _ in range(SIDE)
    ]
    places = decode(blurhash.encode(pixels, SIDE, 4, 3), 1, 4)
    assert places[0][0] > 200 > places[0][1]
    assert places[3][1] > 200 > places[3][0]


def test_one_wave_is_the_average_alone() -> None:
    assert blurhash.encode([(0, 0, 0)], 1, 1, 1) == "000000"
    assert len(blurhash.encode([(255, 255, 255)] * 4, 2, 9, 9)) == 4 + 2 * 81
