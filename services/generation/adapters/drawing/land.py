"""Scenes of land under a day's light: dunes, peaks in haze, hills with a wood."""

import random
from collections.abc import Sequence
from itertools import pairwise

from PIL import Image

from services.generation.adapters.drawing.canvas import FLAT, Canvas
from services.generation.adapters.drawing.colour import Colour, mix
from services.generation.adapters.drawing.lines import Points, fractal, line, waves
from services.generation.adapters.drawing.surfaces import clouds, glow, levels, lit, vertical

SKY_PIXELS = 128
FLANK_POINTS_MIN = 15


def day_sky(canvas: Canvas, sun: tuple[float, float], bottom: float, veil: float = 0.35) -> None:
    """A sky with thin cloud, and the light of a sun that stands at these shares of the sides."""
    palette, rnd = canvas.palette, canvas.rnd
    size = (SKY_PIXELS, SKY_PIXELS)
    sky = vertical(palette.sky, SKY_PIXELS).resize(size)
    streaks = levels(clouds(rnd, size, (2, 7), 3), 120, 235, veil)
    sky = lit(sky, mix(palette.glow, palette.light, 0.3), streaks)
    centre = (sun[0], sun[1] / bottom)
    unit = canvas.height / canvas.width
    glow(sky, centre, (0.62 * unit, 0.62 / bottom), palette.glow, 0.55)
    glow(sky, centre, (0.24 * unit, 0.24 / bottom), palette.light, 0.55)
    canvas.backdrop(sky, bottom)


def sun_disc(canvas: Canvas, sun: tuple[float, float], radius: float) -> None:
    """The sun itself, a little warmer at its foot."""
    palette = canvas.palette
    fill = vertical((palette.light, mix(palette.light, palette.glow, 0.55)), 64)
    canvas.disc((sun[0] * canvas.width, sun[1] * canvas.height), radius * canvas.height, fill)


def dunes(canvas: Canvas) -> None:
    """Sand in long lines, each dune with a lit and a shaded flank."""
    rnd, palette = canvas.rnd, canvas.palette
    sun = (rnd.uniform(0.2, 0.8), rnd.uniform(0.27, 0.4))
    day_sky(canvas, sun, 0.62)
    sun_disc(canvas, sun, rnd.uniform(0.045, 0.085))
    count = 5
    crests = []
    for index in range(count):
        depth = index / (count - 1)
        base = canvas.height * (0.5 + 0.37 * depth**1.25)
        swell = canvas.height * (0.02 + 0.055 * depth)
        curve = waves(rnd, 3, 0.55 + 0.5 * (1 - depth), 0.42)
        crests.append(line(canvas.width, 96, base, swell, curve))
    for index, crest in enumerate(crests):
        depth = index / (count - 1)
        tone = mix(palette.far, palette.near, depth**0.9)
        bright = mix(tone, palette.glow, 0.42 * (1 - depth * 0.55))
        foot = mix(tone, palette.near, 0.35)
        canvas.ridge(crest, (bright, foot), hidden_from=lowest(crests, index + 1))
        _flank(canvas, crest, sun[0], mix(tone, palette.near, 0.5), 0.5 + 0.25 * depth)


def lowest(crests: Sequence[Points], index: int) -> float | None:
    """Where the land under a crest covers all behind it; None when there is none such."""
    return max(y for _, y in crests[index]) if index < len(crests) else None


def _flank(canvas: Canvas, crest: Points, sun_x: float, shade: Colour, opacity: float) -> None:
    """Shade on what looks away from the sun: under each falling stretch of a dune's crest."""
    away = 1 if sun_x < 0.5 else -1
    stretch: Points = []
    for (x, y), (_, after) in pairwise(crest):
        if (after - y) * away > 0:
            stretch.append((x, y))
            continue
        _shade(canvas, stretch, away, shade, opacity)
        stretch = []
    _shade(canvas, stretch, away, shade, opacity)


def _shade(canvas: Canvas, stretch: Points, away: int, shade: Colour, opacity: float) -> None:
    """A sickle under a stretch of crest: wide below the peak, running out towards the valley."""
    if len(stretch) < FLANK_POINTS_MIN:
        return
    length = len(stretch) - 1
    deep = 2.3 * min(canvas.height * 0.15, (stretch[-1][0] - stretch[0][0]) * 0.26)
    if away < 0:
        stretch.reverse()
    foot = [
        (x, y + deep * (index / length) ** 0.75 * (1 - index / length) ** 1.6)
        for index, (x, y) in enumerate(stretch)
    ]
    canvas.shape([*stretch, *reversed(foot)], shade, opacity, FLAT)


def peaks(canvas: Canvas) -> None:
    """Range behind range in morning haze, each nearer one darker."""
    rnd, palette = canvas.rnd, canvas.palette
    sun = (rnd.uniform(0.25, 0.75), rnd.uniform(0.22, 0.36))
    day_sky(canvas, sun, 0.8, 0.28)
    sun_disc(canvas, sun, rnd.uniform(0.035, 0.06))
    count = 6
    haze = mix(palette.sky[-1], palette.glow, 0.3)
    crests = []
    for index in range(count):
        depth = index / (count - 1)
        heights = fractal(rnd, 8, 0.5 + 0.03 * rnd.random())
        base = canvas.height * (0.46 + 0.42 * depth)
        crests.append(jagged(canvas, heights, base, canvas.height * (0.15 - 0.05 * depth)))
    for index, crest in enumerate(crests):
        depth = index / (count - 1)
        tone = mix(palette.far, palette.near, depth**1.15)
        foot = mix(tone, haze, 0.62 * (1 - depth) + 0.1)
        canvas.ridge(crest, (tone, foot), hidden_from=lowest(crests, index + 1))


def jagged(canvas: Canvas, heights: Sequence[float], base: float, relief: float) -> Points:
    """A line from edge to edge through the given heights, above `base`."""
    step = canvas.width / (len(heights) - 1)
    return [(step * at, base - relief * each) for at, each in enumerate(heights)]


def wood(canvas: Canvas) -> None:
    """Rounded hills, the nearest ones with firs along their crests."""
    rnd, palette = canvas.rnd, canvas.palette
    sun = (rnd.uniform(0.2, 0.8), rnd.uniform(0.24, 0.38))
    day_sky(canvas, sun, 0.75, 0.4)
    sun_disc(canvas, sun, rnd.uniform(0.05, 0.1))
    count = 5
    haze = mix(palette.sky[-1], palette.light, 0.25)
    crests = []
    for index in range(count):
        base = canvas.height * (0.5 + 0.36 * index / (count - 1))
        crests.append(line(canvas.width, 64, base, canvas.height * 0.06, waves(rnd, 4, 0.9, 0.45)))
    for index, crest in enumerate(crests):
        depth = index / (count - 1)
        size = canvas.height * (0.02 + 0.075 * (depth - 0.4))
        tone = mix(palette.far, palette.near, depth)
        canvas.ridge(
            crest,
            (tone, mix(tone, haze, 0.55 * (1 - depth) + 0.06)),
            hidden_from=lowest(crests, index + 1),
            trees=firs(rnd, crest, size, canvas.width) if index >= 2 else (),
        )


def firs(rnd: random.Random, crest: Points, size: float, width: int) -> list[Points]:
    """Firs on a crest: stepped triangles of many heights, in groups."""
    dense = waves(rnd, 3, 1.6)
    trees = []
    x = -size
    while x < width + size:
        if dense(x / width) > -0.25:
            tall = size * rnd.uniform(0.7, 1.75)
            ground = _height(crest, x, width) + 0.06 * tall  # on a slope, too
            trees.append(_fir(x, ground, tall, tall * rnd.uniform(0.17, 0.23)))
            x += size * rnd.uniform(0.34, 0.62)
        else:
            x += size * 0.5
    return trees


def _height(crest: Points, x: float, width: int) -> float:
    place = min(max(x / width, 0.0), 1.0) * (len(crest) - 1)
    index = min(int(place), len(crest) - 2)
    share = place - index
    return crest[index][1] * (1 - share) + crest[index + 1][1] * share


def _fir(x: float, ground: float, tall: float, half: float) -> Points:
    tiers = 5
    left, right = [], []
    for tier in range(tiers):
        low, high = tier / tiers, (tier + 1) / tiers
        wide, narrow = half * (1 - low * 0.85), half * (1 - high * 0.9) * 0.5
        left += [(x - wide, ground - tall * low), (x - narrow, ground - tall * (high + 0.03))]
        right += [(x + wide, ground - tall * low), (x + narrow, ground - tall * (high + 0.03))]
    return [*left, (x, ground - tall * 1.06), *reversed(right)]


SCENES = (dunes, peaks, wood)


def mirrored(picture: Image.Image) -> Image.Image:
    """A picture upside down."""
    return picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
