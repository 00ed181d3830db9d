"""Colours, and the palettes of the scenes: chosen by hand, harmony does not come out of a hash."""

import colorsys
import random

from msgspec import Struct

Colour = tuple[int, int, int]


class Palette(Struct, frozen=True, kw_only=True, gc=False):
    """The colours of one mood: sky from top to horizon, land from far to near, light."""

    sky: tuple[Colour, ...]
    far: Colour
    near: Colour
    light: Colour
    glow: Colour


def _palette(sky: str, far: str, near: str, light: str, glow: str) -> Palette:
    return Palette(
        sky=tuple(parse(each) for each in sky.split()),
        far=parse(far),
        near=parse(near),
        light=parse(light),
        glow=parse(glow),
    )


def parse(code: str) -> Colour:
    """A colour from six hexadecimal digits."""
    return int(code[0:2], 16), int(code[2:4], 16), int(code[4:6], 16)


WARM = (
    _palette("1d2a57 5c3f78 b8577d f08a6c ffd08a", "d9896b", "43202f", "fff0c8", "ffb37a"),
    _palette("2b4a7c 6d86ad c7b3b0 f3cfa5 ffe9c4", "e3b887", "6b3526", "fffaf0", "ffdca6"),
    _palette("27194a 6a2a69 b93a66 f2685a ffb35e", "b24a5c", "1f1230", "fff3d1", "ff8f5e"),
    _palette("3a5a8c 7fa3bf d8d3bd f7dfae ffeccb", "e8c391", "8a4b2b", "fffdf4", "fff0c9"),
)
COOL = (
    _palette("16304f 2f5f83 6f9fb3 b9d3d0 f2ead6", "9dbcc2", "0d2233", "fffaf0", "ffeccb"),
    _palette("27315f 56619a 9a95c2 d9bccb fbdcc4", "a9a3c8", "191c3b", "fff6ea", "ffd9c2"),
    _palette("0f3b4c 2a7480 74b2a6 c5dcb9 f8ecc0", "8fbfae", "0b2a2e", "fffcec", "fff0b8"),
    _palette("3b3a63 7a6390 c58ba0 f2b9a2 ffe2b8", "b58aa5", "221c38", "fff4dd", "ffcfa0"),
)
NIGHT = (
    _palette("050a1f 0a1a3a 10365a 1b5a73 2f8a86", "14384c", "030812", "eafff4", "59f2b4"),
    _palette("080720 191143 34246d 5a3a8e 8a5aa2", "2b2356", "06051a", "fdf0ff", "b48cff"),
    _palette("040d1c 08213a 0f3f59 236a70 57a08a", "123a46", "02070d", "f2ffe9", "8df5a0"),
    _palette("0a0818 1e1438 47204f 82345c c8586a", "3a1e44", "080612", "fff3e6", "ff9e8a"),
)
SEA = (
    _palette("22305f 5d4b86 b5668a f0906f ffd79a", "5a4f86", "131a3a", "fff4d6", "ffb070"),
    _palette("1a4668 4585a0 9cc4c4 ecdcb8 ffeac2", "4f8fa0", "0e2f45", "fffbe9", "ffe2a8"),
    _palette("141b3f 2c3d74 5f6ba3 b393b5 f3c3b5", "3f4c84", "0a1029", "fff1e6", "ffc7b0"),
)
SILK = (
    _palette("fbefe3 fbdccb f6b9a8 e7839a 8f5b9c", "f9cdb4", "4a2f6e", "ffffff", "ffe9d2"),
    _palette("e8f4f1 bfe3df 7fc4c9 3f8fb0 274f86", "a9dcd8", "142a55", "ffffff", "f1fff6"),
    _palette("fff3d6 ffd99b ffae6b f0706a a63a6b", "ffc98a", "3f1c52", "ffffff", "fff0c0"),
    _palette("10142e 25285f 4a3f97 8a5cc0 e79ac0", "3a3780", "0a0a20", "fff0fa", "ffb6d9"),
)


def shifted(palette: Palette, rnd: random.Random) -> Palette:
    """The palette turned by a few degrees of hue: two pictures of one mood are still two."""
    turn = rnd.uniform(-0.022, 0.022)
    return Palette(
        sky=tuple(_turned(each, turn) for each in palette.sky),
        far=_turned(palette.far, turn),
        near=_turned(palette.near, turn),
        light=palette.light,
        glow=_turned(palette.glow, turn),
    )


def _turned(colour: Colour, turn: float) -> Colour:
    hue, saturation, value = colorsys.rgb_to_hsv(*(each / 255 for each in colour))
    red, green, blue = colorsys.hsv_to_rgb((hue + turn) % 1.0, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """`share` of the second colour in the first."""
    return (
        round(first[0] + (second[0] - first[0]) * share),
        round(first[1] + (second[1] - first[1]) * share),
        round(first[2] + (second[2] - first[2]) * share),
    )
