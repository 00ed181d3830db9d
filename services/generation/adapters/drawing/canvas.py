"""What every scene paints on: backdrops, smooth-edged shapes, ridges, stars.

Large smooth things are made small and enlarged; edges alone are drawn at several times the size and
averaged down, in strips that follow them; what a nearer layer hides is not painted. That keeps a
picture of a million pixels within some ten milliseconds of one core.
"""

import math
import random
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

from PIL import Image, ImageDraw

from services.generation.adapters.drawing.colour import Colour, Palette
from services.generation.adapters.drawing.lines import Points, ellipse, slab, stretches
from services.generation.adapters.drawing.surfaces import (
    GRAIN_SHARE,
    HALO_PIXELS,
    grain,
    halo,
    vertical,
)

Box = tuple[int, int, int, int]
Fill = Image.Image | Colour
Edges = tuple[int, int]

# How many times the size edges are drawn at; these are what Pillow averages down fastest.
FLAT = (1, 3)
STEEP = (2, 2)
ROUND = (3, 3)
STRIPS = 4
STRIP_PIXELS_MIN = 200


class Canvas:
    """A picture being painted. Scenes measure in shares of its height."""

    def __init__(self, width: int, height: int, palette: Palette, rnd: random.Random) -> None:
        self.width = width
        self.height = height
        self.palette = palette
        self.rnd = rnd
        self.image = Image.new("RGB", (width, height))

    def backdrop(self, sky: Image.Image, bottom: float = 1.0) -> None:
        """Enlarge a small painting over the canvas, from the top to `bottom`.

        A grain of a few levels breaks the steps that eight bits leave in a wide sky. The last
        doubling repeats pixels: a third of the time, for a step that is less than the grain.
        """
        width, height = self.width, round(self.height * bottom)
        sky = sky.resize(((width + 1) // 2, (height + 1) // 2), Image.Resampling.BILINEAR)
        sky = Image.blend(sky, grain(*sky.size), GRAIN_SHARE)
        self.image.paste(sky.resize((width, height), Image.Resampling.NEAREST), (0, 0))

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
        if isinstance(fill, Image.Image):
            fill = fill.resize(
                (fill.width if fill.width == 1 else box[2] - box[0], box[3] - box[1]),
                Image.Resampling.BILINEAR,
            )
            if fill.width > 1:
                self.image.paste(fill, box, _mask(box, outlines, edges))
                return
        count = max(1, min(STRIPS, (box[2] - box[0]) // STRIP_PIXELS_MIN))
        marks = [box[0] + (box[2] - box[0]) * each // count for each in range(count + 1)]
        for left, right in pairwise(marks) if count > 1 else ():
            inside = [(slab(each, left - 1, right + 1), opacity) for each, opacity in outlines]
            inside = [each for each in inside if each[0]]
            part = self._box([point for outline, _ in inside for point in outline])
            if part is not None:
                self._fill((left, part[1], right, part[3]), inside, fill, box[1], edges)
        if count == 1:
            self._fill(box, outlines, fill, box[1], edges)

    def _fill(
        self,
        box: Box,
        outlines: Sequence[tuple[Points, float]],
        fill: Fill,
        start: int,
        edges: Edges,
    ) -> None:
        piece = _piece(fill, box, start) if isinstance(fill, Image.Image) else fill
        self.image.paste(piece, box, _mask(box, outlines, edges))

    def ridge(
        self,
        line: Points,
        colours: tuple[Colour, Colour],
        *,
        foot: float | None = None,
        hidden_from: float | None = None,
        trees: Sequence[Points] = (),
    ) -> None:
        """Land under a line from edge to edge, down to `foot`, shaded from crest to foot.

        Below `hidden_from` nearer land covers it. Trees stand on the line.
        """
        foot = self.height if foot is None else round(foot)
        end = foot if hidden_from is None else min(foot, math.ceil(hidden_from) + 1)
        crest = max(0, math.floor(min(y for each in (line, *trees) for _, y in each)))
        column = vertical(colours, max(2, foot - crest))
        for stretch in stretches(line, STRIPS):
            (left, _), (right, _) = stretch.ends
            standing = [tree for tree in trees if tree[0][0] < right and tree[-1][0] > left]
            (start, _), (stop, _) = stretch.points[0], stretch.points[-1]
            ground = [*stretch.points, (stop, self.height + 1.0), (start, self.height + 1.0)]
            top = min(y for each in (stretch.points, *standing) for _, y in each)
            valley = min(end, math.ceil(max(y for _, y in stretch.points)) + 1)
            box = (round(left), max(0, math.floor(top)), round(right), valley)
            if box[3] > box[1]:
                outlines = [(each, 1.0) for each in (ground, *standing)]
                mask = _mask(box, outlines, STEEP if trees else FLAT)
                self.image.paste(_piece(column, box, crest), box, mask)
            if end > valley:
                box = (box[0], valley, box[2], end)
                self.image.paste(_piece(column, box, crest), box)

    def disc(
        self, centre: tuple[float, float], radius: float, fill: Fill, opacity: float = 1.0
    ) -> None:
        """A filled circle with smooth edges."""
        self.shape(ellipse(centre, radius, radius), fill, opacity, ROUND)

    def stars(self, count: int, bottom: float, colour: Colour = (255, 255, 255)) -> None:
        """Stars over the upper part: many faint ones, a few with a halo, fewer towards `bottom`."""
        draw = self.rnd.random
        points: defaultdict[int, list[float]] = defaultdict(list)  # by light: drawn together
        for _ in range(count):
            x, y = int(draw() * self.width), int(draw() ** 1.4 * bottom * self.height)
            light = int(30 + 215 * draw() ** 2.6) & ~7
            points[light] += (x, y)
            if light > 120:
                points[light // 2] += (x + 1, y, x, y + 1, x + 1, y + 1)
            if light > 225:
                points[light // 4] += (x - 1, y, x, y - 1, x + 2, y, x, y + 2)
                self.image.paste(colour, (x - HALO_PIXELS // 2, y - HALO_PIXELS // 2), halo())
        pen = ImageDraw.Draw(self.image, "RGBA")
        for light, places in points.items():
            pen.point(places, (*colour, light))

    def _box(self, outline: Points) -> Box | None:
        if not outline:
            return None
        across, down = zip(*outline, strict=True)
        left = max(0, math.floor(min(across)))
        right = min(self.width, math.ceil(max(across)) + 1)
        top = max(0, math.floor(min(down)))
        bottom = min(self.height, math.ceil(max(down)) + 1)
        return (left, top, right, bottom) if left < right and top < bottom else None


def _mask(box: Box, outlines: Sequence[tuple[Points, float]], edges: Edges) -> Image.Image:
    """Outlines, each with its opacity, as far as they lie in a box."""
    left, top, right, bottom = box
    across, down = edges
    mask = Image.new("L", ((right - left) * across, (bottom - top) * down))
    pen = ImageDraw.Draw(mask)
    for outline, opacity in outlines:
        scaled = [((x - left) * across, (y - top) * down) for x, y in outline]
        pen.polygon(scaled, fill=round(255 * opacity))
    return mask.reduce(edges)


def _piece(column: Image.Image, box: Box, start: int) -> Image.Image:
    """The part of a shaded column that belongs into a box; the column begins at `start`."""
    left, top, right, bottom = box
    part = column.crop((0, top - start, 1, bottom - start))
    return part.resize((right - left, bottom - top), Image.Resampling.NEAREST)
