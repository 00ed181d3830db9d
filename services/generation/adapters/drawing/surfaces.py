"""Soft surfaces, small ones to be enlarged: gradients, lights, clouds, grain."""

import random
from collections.abc import Sequence
from functools import cache, lru_cache

from PIL import Image, ImageChops

from services.generation.adapters.drawing.colour import Colour

HALO_PIXELS = 17
GRAIN_PIXELS = 256
GRAIN_SHARE = 0.03


def vertical(colours: Sequence[Colour], height: int) -> Image.Image:
    """A column, one pixel wide, that runs evenly through the colours from top to bottom."""
    count = len(colours)
    steps = Image.frombytes("RGB", (1, count), bytes(level for each in colours for level in each))
    # From the middle of the first colour to the middle of the last.
    inner = (0, 0.5, 1, count - 0.5)
    return steps.resize((1, max(1, height)), Image.Resampling.BILINEAR, box=inner)


@cache
def falloff(power: float) -> Image.Image:
    """A round light, bright in the middle and gone at the rim."""
    levels = [round(255 * max(0.0, 1 - level / 255) ** power) for level in range(256)]
    return Image.radial_gradient("L").point(levels)


@cache
def halo() -> Image.Image:
    levels = [level // 2 for level in range(256)]
    return falloff(3.0).resize((HALO_PIXELS, HALO_PIXELS)).point(levels)


@cache
def _grain_tile() -> Image.Image:
    rnd = random.Random(0)  # noqa: S311  # the same in every process
    size = (GRAIN_PIXELS, GRAIN_PIXELS)
    # Dice thrown four times and averaged: bell-shaped enough, and whole bytes at a time.
    dice = [Image.frombytes("L", size, rnd.randbytes(size[0] * size[1])) for _ in range(4)]
    tile = Image.blend(Image.blend(dice[0], dice[1], 0.5), Image.blend(dice[2], dice[3], 0.5), 0.5)
    return Image.merge("RGB", (tile, tile, tile))


@lru_cache(maxsize=4)
def grain(width: int, height: int) -> Image.Image:
    """The tile repeated over a surface; the last few sizes are kept."""
    tile = _grain_tile()
    whole = Image.new("RGB", (width, height))
    for x in range(0, width, GRAIN_PIXELS):
        for y in range(0, height, GRAIN_PIXELS):
            whole.paste(tile, (x, y))
    return whole


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
    mask = (
        falloff(2.4)
        .resize(size, Image.Resampling.BILINEAR)
        .point([round(level * strength) for level in range(256)])
    )
    image.paste(colour, (left, top, left + size[0], top + size[1]), mask)
