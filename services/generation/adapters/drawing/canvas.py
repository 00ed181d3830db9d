"""What every scene paints with: gradients, glows, smooth-edged shapes, ridges, stars, haze.

Large smooth things are made small and enlarged; edges alone are drawn at several times the size and
averaged down. That keeps a picture of a million pixels within some twenty milliseconds of one core.
"""

import math
import random
from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise

from PIL import Image, ImageChops, ImageDraw

from services.generation.adapters.drawing.colour import Colour, Palette, mix

Points = list[tuple[float, float]]
Box = tuple[int, int, int, int]
Fill = Image.Image | Colour
Edges = tuple[int, int]
Curve = Callable[[float], float]

STEEP = (2, 4)  # how many times the size edges are drawn at: steep ones need it both ways
FLAT = (1, 4)
COLUMN_STEPS = 48
HALO_PIXELS = 17
HALO_LEVELS = [level // 2 for level in range(256)]


class Canvas:
    """A picture being painted. Scenes measure in shares of its height."""

    def __init__(self, width: int, height: int, palette: Palette, rnd: random.Random) -> None:
        self.width = width
        self.height = height
        self.palette = palette
        self.rnd = rnd
        self.image = Image.new("RGB", (width, height))

    def backdrop(self, sky: Image.Image, bottom: float = 1.0) -> None:
        """Enlarge a small painting over the canvas, from the top to `bottom`."""
        size = (self.width, round(self.height * bottom))
        self.image.paste(sky.resize(size, Image.Resampling.BILINEAR), (0, 0))

    def shape(
        self, outline: Points, fill: Fill, opacity: float = 1.0, edges: Edges = STEEP
    ) -> None:
        """Fill an outline; an image as filling is stretched over the outline's box."""
        self.shapes([(outline, opacity)], fill, edges)

    def shapes(
        self, outlines: Sequence[tuple[Points, float]], fill: Fill, edges: Edges = STEEP
    ) -> None:
        """Fill several outlines, each with its opacity, as one layer."""
        box = self._box([point for outline, _ in outlines for point in outline])
        if box is None:
            return
        left, top, right, bottom = box
        mask = Image.new("L", ((right - left) * edges[0], (bottom - top) * edges[1]))
        pen = ImageDraw.Draw(mask)
        for outline, opacity in outlines:
            scaled = [((x - left) * edges[0], (y - top) * edges[1]) for x, y in outline]
            pen.polygon(scaled, fill=round(255 * opacity))
        mask = mask.reduce(edges)
        if isinstance(fill, Image.Image):
            method = Image.Resampling.NEAREST if fill.width == 1 else Image.Resampling.BILINEAR
            self.image.paste(fill.resize(mask.size, method), box, mask)
        else:
            self.image.paste(fill, box, mask)

    def ridge(
        self,
        line: Points,
        top: Colour,
        bottom: Colour,
        *,
        floor: float | None = None,
        edges: Edges = FLAT,
    ) -> None:
        """Land under a line from edge to edge, down to `floor`, shaded from crest to foot."""
        foot = self.height if floor is None else round(floor)
        crest = max(0, math.floor(min(y for _, y in line)))
        valley = min(foot, math.ceil(max(y for _, y in line)) + 1)
        column = vertical((top, bottom), max(2, foot - crest))
        edge = column.crop((0, 0, 1, max(1, valley - crest)))
        self.shape([*line, (self.width, valley), (0, valley)], edge, edges=edges)
        if foot > valley:
            rest = column.crop((0, valley - crest, 1, foot - crest))
            self.image.paste(
                rest.resize((self.width, foot - valley), Image.Resampling.NEAREST), (0, valley)
            )

    def disc(
        self, centre: tuple[float, float], radius: float, fill: Fill, opacity: float = 1.0
    ) -> None:
        """A filled circle with smooth edges."""
        self.shape(ellipse(centre, radius, radius), fill, opacity)

    def stars(self, count: int, bottom: float, colour: Colour = (255, 255, 255)) -> None:
        """Stars over the upper part: many faint ones, a few with a halo, fewer towards `bottom`."""
        rnd, pen = self.rnd, ImageDraw.Draw(self.image, "RGBA")
        for _ in range(count):
            x = rnd.random() * self.width
            y = rnd.random() ** 1.4 * bottom * self.height
            light = round(30 + 215 * rnd.random() ** 2.6)
            pen.point((x, y), (*colour, light))
            if light > 120:
                pen.point([(x + 1, y), (x, y + 1), (x + 1, y + 1)], (*colour, light // 2))
            if light > 225:
                pen.point([(x - 1, y), (x, y - 1), (x + 2, y), (x, y + 2)], (*colour, light // 4))
                halo = falloff(3.0).resize((HALO_PIXELS, HALO_PIXELS)).point(HALO_LEVELS)
                self.image.paste(
                    colour, (round(x) - HALO_PIXELS // 2, round(y) - HALO_PIXELS // 2), halo
                )

    def _box(self, outline: Points) -> Box | None:
        left = max(0, math.floor(min(x for x, _ in outline)))
        right = min(self.width, math.ceil(max(x for x, _ in outline)) + 1)
        top = max(0, math.floor(min(y for _, y in outline)))
        bottom = min(self.height, math.ceil(max(y for _, y in outline)) + 1)
        return (left, top, right, bottom) if left < right and top < bottom else None


def vertical(colours: Sequence[Colour], height: int) -> Image.Image:
    """A column, one pixel wide, that runs smoothly through the colours from top to bottom."""
    steps = len(colours) - 1
    levels = bytearray()
    for y in range(COLUMN_STEPS):
        place = y / (COLUMN_STEPS - 1) * steps
        index = min(int(place), steps - 1)
        levels += bytes(mix(colours[index], colours[index + 1], place - index))
    column = Image.frombytes("RGB", (1, COLUMN_STEPS), bytes(levels))
    return column.resize((1, max(1, height)), Image.Resampling.BICUBIC)


@cache
def falloff(power: float) -> Image.Image:
    """A round light, bright in the middle and gone at the rim."""
    levels = [round(255 * max(0.0, 1 - level / 255) ** power) for level in range(256)]
    return Image.radial_gradient("L").point(levels)


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
    parts = [
        (frequency * 2**each * rnd.uniform(0.85, 1.2), rnd.uniform(0, 2 * math.pi), fall**each)
        for each in range(octaves)
    ]
    total = sum(weight for _, _, weight in parts)
    return lambda x: (
        sum(weight * math.sin(2 * math.pi * rate * x + phase) for rate, phase, weight in parts)
        / total
    )


def fractal(rnd: random.Random, levels: int, roughness: float) -> list[float]:
    """Heights of a jagged line by midpoint displacement: 2 ** levels + 1 values, about -1 to 1."""
    heights, amplitude = [rnd.uniform(-0.5, 0.5), rnd.uniform(-0.5, 0.5)], 0.7
    for _ in range(levels):
        middles = [(a + b) / 2 + rnd.uniform(-amplitude, amplitude) for a, b in pairwise(heights)]
        heights = [each for pair in zip(heights, middles, strict=False) for each in pair] + heights[
            -1:
        ]
        amplitude *= roughness
    return heights


def clouds(
    rnd: random.Random, size: tuple[int, int], grid: tuple[int, int], octaves: int
) -> Image.Image:
    """Soft noise in grey: grids of random levels, enlarged and mixed, finer ones weaker."""
    result = _noise(rnd, size, grid)
    for octave in range(1, octaves):
        finer = _noise(rnd, size, (grid[0] << octave, grid[1] << octave))
        result = Image.blend(result, finer, 0.5**octave * 0.6)
    return result


def _noise(rnd: random.Random, size: tuple[int, int], cells: tuple[int, int]) -> Image.Image:
    grid = Image.frombytes("L", cells, rnd.randbytes(cells[0] * cells[1]))
    return grid.resize(size, Image.Resampling.BICUBIC)


def levels(image: Image.Image, low: int, high: int, gain: float = 1.0) -> Image.Image:
    """Grey levels stretched so that `low` becomes black and `high` white, times gain."""
    span = max(1, high - low)
    return image.point(
        [round(min(255, max(0, (level - low) / span * 255)) * gain) for level in range(256)]
    )


def lit(image: Image.Image, colour: Colour, mask: Image.Image) -> Image.Image:
    """Light of a colour added where the mask is bright (screened, so that it never clips hard)."""
    dark = Image.new("RGB", image.size)
    return ImageChops.screen(
        image, Image.composite(Image.new("RGB", image.size, colour), dark, mask)
    )


def glow(
    image: Image.Image,
    centre: tuple[float, float],
    reach: tuple[float, float],
    colour: Colour,
    strength: float,
) -> None:
    """Lay a round light over a small painting; centre and reach are shares of its sides."""
    left, top = (
        round((centre[0] - reach[0]) * image.width),
        round((centre[1] - reach[1]) * image.height),
    )
    size = (round(2 * reach[0] * image.width), round(2 * reach[1] * image.height))
    mask = falloff(2.4).resize(size).point([round(level * strength) for level in range(256)])
    image.paste(colour, (left, top, left + size[0], top + size[1]), mask)
