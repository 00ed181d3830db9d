"""Scenes of water: the sun over the sea, a lake that mirrors its mountains."""

from PIL import Image, ImageDraw

from services.generation.adapters.drawing.canvas import Canvas, fractal, vertical
from services.generation.adapters.drawing.colour import mix
from services.generation.adapters.drawing.land import day_sky, mirrored, sun_disc


def sea(canvas: Canvas) -> None:
    """The sun low over open water, its path of light coming towards us."""
    rnd, palette = canvas.rnd, canvas.palette
    horizon = rnd.uniform(0.52, 0.6)
    sun = (rnd.uniform(0.3, 0.7), horizon - rnd.uniform(0.03, 0.14))
    day_sky(canvas, sun, horizon, 0.6)
    sun_disc(canvas, sun, rnd.uniform(0.07, 0.11))
    top = round(horizon * canvas.height)
    water = vertical(
        (
            mix(palette.sky[-1], palette.far, 0.45),
            palette.far,
            mix(palette.far, palette.near, 0.6),
            palette.near,
        ),
        96,
    )
    canvas.image.paste(
        water.resize((canvas.width, canvas.height - top), Image.Resampling.BICUBIC), (0, top)
    )
    _swell(canvas, top)
    _path_of_light(canvas, top, sun[0] * canvas.width)
    if rnd.random() < 0.7:
        _sail(canvas, top)


def _swell(canvas: Canvas, top: int) -> None:
    """Long low waves: streaks, dark and light, larger the nearer."""
    rnd, palette = canvas.rnd, canvas.palette
    depth = canvas.height - top
    for shade, opacity in ((palette.near, 105), (mix(palette.sky[-2], palette.far, 0.4), 90)):
        mask = Image.new("L", (canvas.width, depth * 2))
        pen = ImageDraw.Draw(mask)
        for _ in range(210):
            near = rnd.random() ** 1.5
            y, x = near * depth * 2, rnd.random() * canvas.width
            half = canvas.width * (0.015 + 0.11 * near) * rnd.uniform(0.4, 1)
            thick = 1 + near * 13 * rnd.random()
            _lens(pen, x, y, half, thick, round(opacity * rnd.uniform(0.3, 1)))
        canvas.image.paste(shade, (0, top), mask.reduce((1, 2)))


def _lens(
    pen: ImageDraw.ImageDraw, x: float, y: float, half: float, thick: float, level: int
) -> None:
    pen.polygon(
        [
            (x - half, y),
            (x - half * 0.3, y - thick),
            (x + half * 0.4, y - thick * 0.8),
            (x + half, y),
            (x, y + thick * 0.5),
        ],
        level,
    )


def _path_of_light(canvas: Canvas, top: int, centre: float) -> None:
    rnd, palette = canvas.rnd, canvas.palette
    depth = canvas.height - top
    mask = Image.new("L", (canvas.width, depth * 4))
    pen = ImageDraw.Draw(mask)
    for _ in range(420):
        near = rnd.random() ** 1.35
        spread = canvas.height * (0.035 + 0.12 * near)
        away = rnd.gauss(0, 0.55)
        half = canvas.height * (0.006 + 0.035 * near) * rnd.uniform(0.3, 1)
        light = round(255 * max(0.1, 1 - abs(away) * 0.55) * (1 - 0.45 * near))
        _lens(
            pen, centre + away * spread, near * depth * 4, half, 2 + near * 16 * rnd.random(), light
        )
    canvas.image.paste(mix(palette.light, palette.glow, 0.3), (0, top), mask.reduce((1, 4)))


def _sail(canvas: Canvas, top: int) -> None:
    """A small boat on the horizon, for scale."""
    rnd, tone = canvas.rnd, mix(canvas.palette.near, canvas.palette.far, 0.25)
    size = canvas.height * rnd.uniform(0.022, 0.04)
    x = canvas.width * rnd.choice((rnd.uniform(0.12, 0.3), rnd.uniform(0.7, 0.88)))
    y = top + size * 0.25
    canvas.shape(
        [
            (x - size * 0.6, y - size * 0.22),
            (x + size * 0.62, y - size * 0.22),
            (x + size * 0.4, y),
            (x - size * 0.42, y),
        ],
        tone,
    )
    canvas.shape(
        [
            (x + size * 0.04, y - size * 2),
            (x + size * 0.04, y - size * 0.3),
            (x + size * 0.62, y - size * 0.3),
        ],
        tone,
    )
    canvas.shape(
        [
            (x - size * 0.04, y - size * 1.6),
            (x - size * 0.04, y - size * 0.3),
            (x - size * 0.5, y - size * 0.3),
        ],
        tone,
    )


def lake(canvas: Canvas) -> None:
    """Mountains and their mirror image in still water."""
    rnd, palette = canvas.rnd, canvas.palette
    shore = rnd.uniform(0.56, 0.62)
    sun = (rnd.uniform(0.2, 0.8), rnd.uniform(0.2, 0.32))
    day_sky(canvas, sun, shore, 0.4)
    sun_disc(canvas, sun, rnd.uniform(0.035, 0.055))
    top = round(shore * canvas.height)
    for index in range(4):
        depth = index / 3
        heights = fractal(rnd, 8, 0.5)
        base = canvas.height * (shore - 0.17 + 0.14 * depth)
        relief = canvas.height * (0.15 - 0.1 * depth)
        crest = [
            (canvas.width * at / 256, min(top - 1.0, base - relief * each))
            for at, each in enumerate(heights)
        ]
        tone = mix(palette.far, palette.near, 0.1 + 0.8 * depth)
        canvas.ridge(crest, tone, mix(tone, palette.sky[-1], 0.5 * (1 - depth)), floor=top)
    _mirror(canvas, top)


def _mirror(canvas: Canvas, top: int) -> None:
    rnd, palette = canvas.rnd, canvas.palette
    depth = canvas.height - top
    source = canvas.image.crop((0, max(0, top - round(depth * 1.15)), canvas.width, top))
    image = mirrored(source).resize((canvas.width, depth), Image.Resampling.NEAREST)
    tint = vertical((mix(palette.far, palette.sky[-1], 0.5), palette.near), depth).resize(
        image.size, Image.Resampling.NEAREST
    )
    image = Image.blend(image, tint, 0.34)
    y = 0
    while y < depth:
        high = 2 + round(5 * y / depth)
        shift = round(rnd.gauss(0, 1) * (0.8 + 5.5 * y / depth))
        canvas.image.paste(image.crop((0, y, canvas.width, min(depth, y + high))), (0, top + y))
        if shift:
            canvas.image.paste(
                image.crop((0, y, canvas.width, min(depth, y + high))), (shift, top + y)
            )
        y += high
    _swell_lines(canvas, top, depth)


def _swell_lines(canvas: Canvas, top: int, depth: int) -> None:
    """A few bright lines where a breath of wind touches the water."""
    rnd = canvas.rnd
    mask = Image.new("L", (canvas.width, depth * 2))
    pen = ImageDraw.Draw(mask)
    for _ in range(46):
        near = rnd.random()
        half = canvas.width * rnd.uniform(0.03, 0.2) * (0.3 + near)
        _lens(
            pen,
            rnd.random() * canvas.width,
            near * depth * 2,
            half,
            0.8 + 1.6 * near,
            round(90 * rnd.uniform(0.3, 1)),
        )
    canvas.image.paste(
        mix(canvas.palette.light, canvas.palette.sky[-1], 0.5), (0, top), mask.reduce((1, 2))
    )


SCENES = (sea, lake)
