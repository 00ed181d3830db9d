"""Scenes of night: an aurora over hills, a ringed planet among stars."""

import math

from PIL import Image, ImageChops

from services.generation.adapters.drawing.canvas import STEEP, Canvas
from services.generation.adapters.drawing.colour import mix
from services.generation.adapters.drawing.land import firs, jagged, lowest
from services.generation.adapters.drawing.lines import ellipse, fractal, waves
from services.generation.adapters.drawing.surfaces import (
    clouds,
    falloff,
    glow,
    levels,
    lit,
    vertical,
)

SKY = (192, 144)
STRIPS = 16


def aurora(canvas: Canvas) -> None:
    """Curtains of light in a clear sky, firs under it."""
    rnd, palette = canvas.rnd, canvas.palette
    sky = vertical(palette.sky[:4], SKY[1]).resize(SKY)
    other = palette.sky[4]
    for index in range(3):
        colour = palette.glow if index != 1 else mix(palette.glow, other, 0.5)
        sky = lit(sky, mix(colour, other, 0.18 * index), _curtain(canvas, 0.34 + 0.13 * index))
    canvas.backdrop(sky, 0.86)
    canvas.stars(420, 0.7)
    crests = [
        jagged(
            canvas,
            fractal(rnd, 7, 0.44),
            canvas.height * (0.74 + 0.055 * index),
            canvas.height * 0.07,
        )
        for index in range(3)
    ]
    for index, crest in enumerate(crests):
        tone = mix(palette.far, palette.near, 0.25 + 0.375 * index)
        canvas.ridge(
            crest,
            (tone, mix(tone, palette.near, 0.6)),
            hidden_from=lowest(crests, index + 1),
            trees=firs(rnd, crest, canvas.height * 0.062, canvas.width) if index == 2 else (),
        )


def _curtain(canvas: Canvas, foot: float) -> Image.Image:
    """One curtain as a mask: rays along a curve, bright at the foot and fading upwards."""
    rnd = canvas.rnd
    width, height = SKY
    rays = clouds(rnd, (width, 1), (5, 1), 5)
    rays = levels(rays, 60, 200).resize((width, height))
    tail = [math.exp(-max(0.0, (y / height - 0.62)) * 26) for y in range(height)]
    body = [math.exp(-max(0.0, 0.62 - y / height) * 5.2) for y in range(height)]
    column = Image.new("L", (1, height))
    column.putdata(
        [
            round(255 * (b if y / height < 0.62 else t))
            for y, (b, t) in enumerate(zip(body, tail, strict=True))
        ]
    )
    straight = ImageChops.multiply(rays, column.resize((width, height)))
    curve = waves(rnd, 3, rnd.uniform(0.7, 1.2), 0.5)
    lift = [(0.62 - foot - 0.12 * curve(each / STRIPS)) * height for each in range(STRIPS + 1)]
    step = width // STRIPS
    mesh = []
    for each in range(STRIPS):
        left, right = each * step, (each + 1) * step
        a, b = lift[each], lift[each + 1]
        mesh.append(
            ((left, 0, right, height), (left, a, left, height + a, right, height + b, right, b))
        )
    return straight.transform(SKY, Image.Transform.MESH, mesh, Image.Resampling.BILINEAR)


def planet(canvas: Canvas) -> None:
    """A banded planet with a ring, a small moon, and a nebula behind."""
    rnd, palette = canvas.rnd, canvas.palette
    size = (144, 144)
    sky = vertical(palette.sky[:3], size[1]).resize(size)
    for colour, gain in ((palette.sky[4], 0.6), (palette.glow, 0.42)):
        sky = lit(sky, colour, levels(clouds(rnd, size, (3, 3), 5), 128, 225, gain))
    unit = canvas.height
    place = (rnd.uniform(0.42, 0.58), rnd.uniform(0.4, 0.5))
    reach = rnd.uniform(0.18, 0.22)
    glow(sky, place, (2.1 * reach * unit / canvas.width, 2.1 * reach), palette.glow, 0.45)
    canvas.backdrop(sky)
    canvas.stars(420, 1.0)
    centre, radius = (place[0] * canvas.width, place[1] * unit), reach * unit
    turn = rnd.uniform(-0.5, 0.5)
    _ring(canvas, centre, radius, turn, front=False)
    canvas.disc(centre, radius, _globe(canvas, turn))
    _ring(canvas, centre, radius, turn, front=True)
    side = rnd.choice((-1, 1))
    moon = (
        centre[0] + side * radius * rnd.uniform(1.5, 1.9),
        centre[1] + radius * rnd.uniform(0.9, 1.5),
    )
    canvas.disc(moon, radius * 0.13, vertical((palette.light, palette.sky[3]), 32))


def _globe(canvas: Canvas, turn: float) -> Image.Image:
    """The face of the planet: bands, lit from the upper left."""
    palette, rnd = canvas.palette, canvas.rnd
    size = (128, 128)
    bands = vertical(
        [
            mix(palette.sky[rnd.choice((2, 3, 4))], palette.light, rnd.uniform(0.05, 0.45))
            for _ in range(9)
        ],
        128,
    ).resize(size)
    streaks = levels(clouds(rnd, size, (1, 14), 3), 110, 240, 0.4)
    face = lit(bands, palette.glow, streaks).rotate(
        -math.degrees(turn), Image.Resampling.BILINEAR, fillcolor=palette.sky[3]
    )
    shade = falloff(0.8).resize((272, 272)).crop((92, 100, 220, 228))
    return Image.composite(
        face,
        Image.new("RGB", size, mix(palette.near, palette.sky[1], 0.25)),
        levels(shade, 88, 205),
    )


def _ring(
    canvas: Canvas, centre: tuple[float, float], radius: float, turn: float, *, front: bool
) -> None:
    """The half of the ring before or behind the planet: three bands with gaps between."""
    half = slice(0, 49) if front else slice(48, 97)
    bands = []
    for outer, inner, opacity in ((2.15, 1.88, 0.5), (1.84, 1.5, 0.92), (1.46, 1.36, 0.45)):
        edge = ellipse(centre, radius * outer, radius * outer * 0.24, turn)
        hole = ellipse(centre, radius * inner, radius * inner * 0.24, turn)
        bands.append(([*(edge + edge[:1])[half], *reversed((hole + hole[:1])[half])], opacity))
    canvas.shapes(bands, mix(canvas.palette.light, canvas.palette.glow, 0.45), STEEP)


SCENES = (aurora, planet)
