"""Scenes of water: the sun over the sea, a lake that mirrors its mountains."""

from PIL import Image, ImageDraw

from services.generation.adapters.drawing.canvas import Canvas
from services.generation.adapters.drawing.colour import mix
from services.generation.adapters.drawing.land import day_sky, jagged, lowest, mirrored, sun_disc
from services.generation.adapters.drawing.lines import fractal
from services.generation.adapters.drawing.surfaces import vertical


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
        canvas.height - top,
    )
    size = (canvas.width, canvas.height - top)
    canvas.image.paste(water.resize(size, Image.Resampling.NEAREST), (0, top))
    _swell(canvas, top)
    _path_of_light(canvas, top, sun[0] * canvas.width)
    if rnd.random() < 0.7:
        _sail(canvas, top)


def _swell(canvas: Canvas, top: int) -> None:
    """Long low waves: streaks, dark and light, larger the nearer."""
    rnd, palette = canvas.rnd, canvas.palette
    size = (canvas.width, canvas.height - top)
    mask = Image.new("L", (size[0], size[1] * 2))
    pen = ImageDraw.Draw(mask)
    for _ in range(330):
        near = rnd.random() ** 1.5
        half = size[0] * (0.015 + 0.11 * near) * rnd.uniform(0.4, 1)
        thick = 1 + near * 13 * rnd.random()
        y = near * mask.height
        _lens(pen, rnd.random() * size[0], y, half, thick, round(105 * rnd.uniform(0.3, 1)))
    light = mix(palette.sky[-2], palette.far, 0.4)
    shades = vertical([rnd.choice((palette.near, light)) for _ in range(48)], size[1])
    canvas.image.paste(shades.resize(size, Image.Resampling.NEAREST), (0, top), mask.reduce((1, 2)))


def _lens(
    pen: ImageDraw.ImageDraw,
    x: float,
    y: float,
    half: float,
    thick: float,
    ink: int | tuple[int, int, int, int],
) -> None:
    left, right, crest, foot = x - half * 0.3, x + half * 0.4, y - thick, y + thick * 0.5
    pen.polygon((x - half, y, left, crest, right, y - thick * 0.8, x + half, y, x, foot), ink)


def _path_of_light(canvas: Canvas, top: int, centre: float) -> None:
    rnd, palette = canvas.rnd, canvas.palette
    depth, reach = canvas.height - top, round(canvas.height * 0.24)
    left = max(0, round(centre) - reach)
    mask = Image.new("L", (min(canvas.width, round(centre) + reach) - left, depth * 3))
    pen = ImageDraw.Draw(mask)
    for _ in range(340):
        near = rnd.random() ** 1.35
        spread = canvas.height * (0.035 + 0.12 * near)
        away = min(1.3, max(-1.3, rnd.gauss(0, 0.55)))
        half = canvas.height * (0.006 + 0.035 * near) * rnd.uniform(0.3, 1)
        light = round(255 * max(0.1, 1 - abs(away) * 0.55) * (1 - 0.45 * near))
        thick = 2 + near * 13 * rnd.random()
        _lens(pen, centre - left + away * spread, near * mask.height, half, thick, light)
    canvas.image.paste(mix(palette.light, palette.glow, 0.3), (left, top), mask.reduce((1, 3)))


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
    crests = []
    for index in range(4):
        base = canvas.height * (shore - 0.17 + 0.14 * index / 3)
        relief = canvas.height * (0.15 - 0.1 * index / 3)
        crest = jagged(canvas, fractal(rnd, 8, 0.5), base, relief)
        crests.append([(x, min(top - 1.0, y)) for x, y in crest])
    for index, crest in enumerate(crests):
        depth = index / 3
        tone = mix(palette.far, palette.near, 0.1 + 0.8 * depth)
        foot = mix(tone, palette.sky[-1], 0.5 * (1 - depth))
        canvas.ridge(crest, (tone, foot), foot=top, hidden_from=lowest(crests, index + 1))
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
    canvas.image.paste(image, (0, top))
    y = 0
    while y < depth:
        high = 3 + round(6 * y / depth)
        shift = round(rnd.gauss(0, 1) * (0.8 + 5.5 * y / depth))
        if shift:
            strip = image.crop((0, y, canvas.width, min(depth, y + high)))
            canvas.image.paste(strip, (shift, top + y))
        y += high
    _breath(canvas, top, depth)


def _breath(canvas: Canvas, top: int, depth: int) -> None:
    """A few bright lines where a breath of wind touches the water; too faint to need soft edges."""
    rnd, palette = canvas.rnd, canvas.palette
    colour = mix(palette.light, palette.sky[-1], 0.5)
    pen = ImageDraw.Draw(canvas.image, "RGBA")
    for _ in range(46):
        near = rnd.random()
        half = canvas.width * rnd.uniform(0.03, 0.2) * (0.3 + near)
        y, thick = top + 3 + near * (depth - 3), 0.4 + 0.8 * near
        light = round(70 * rnd.uniform(0.3, 1))
        _lens(pen, rnd.random() * canvas.width, y, half, thick, (*colour, light))


SCENES = (sea, lake)
