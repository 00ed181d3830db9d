"""From a prompt and a seed to an encoded picture: scene and palette, grain, label, JPEG."""

import hashlib
import io
import random
import unicodedata
from collections.abc import Callable
from functools import cache, lru_cache

from PIL import Image, ImageDraw, ImageFont

from services.generation.adapters.drawing import colour, folds, land, night, water
from services.generation.adapters.drawing.canvas import Canvas
from services.generation.adapters.drawing.colour import Palette

LABEL = "drawn locally, no AI provider"
PROMPT_CHARACTERS_MAX = 64
JPEG_QUALITY = 88
CONTENT_TYPE = "image/jpeg"
GRAIN_PIXELS = 256
GRAIN_SHARE = 0.03
LIGHT = 165
UNKNOWN = "\U0010ffff"  # no font has it: drawn as the box that stands for what is missing

Scene = Callable[[Canvas], None]
SCENES: tuple[tuple[Scene, tuple[Palette, ...]], ...] = (
    (land.dunes, colour.WARM),
    (land.peaks, colour.COOL),
    (land.wood, colour.COOL + colour.WARM[:1]),
    (night.aurora, colour.NIGHT),
    (night.planet, colour.NIGHT),
    (water.sea, colour.SEA),
    (water.lake, colour.COOL[:2] + colour.SEA[2:]),
    (folds.silk, colour.SILK),
)


def draw(*, prompt: str, seed: int, model: str, width: int, height: int) -> bytes:
    """The picture for these inputs as JPEG; the same inputs give the same bytes, in any process."""
    identity = "\x00".join((prompt, str(seed), model, f"{width}x{height}"))
    rnd = random.Random(hashlib.sha256(identity.encode()).digest())  # noqa: S311  # repeatable
    scene, palettes = SCENES[rnd.randrange(len(SCENES))]
    canvas = Canvas(width, height, colour.shifted(rnd.choice(palettes), rnd), rnd)
    scene(canvas)
    image = _grained(canvas.image)
    _label(image, _caption(prompt))
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=JPEG_QUALITY, subsampling="4:2:0", comment=LABEL.encode())
    return encoded.getvalue()


def _grained(image: Image.Image) -> Image.Image:
    """A grain of a few levels: it breaks the steps that eight bits leave in a wide sky."""
    return Image.blend(image, _grain(*image.size), GRAIN_SHARE)


@cache
def _grain_tile() -> Image.Image:
    rnd = random.Random(0)  # noqa: S311  # the same in every process
    size = (GRAIN_PIXELS, GRAIN_PIXELS)
    # Dice thrown four times and averaged: bell-shaped enough, and whole bytes at a time.
    dice = [Image.frombytes("L", size, rnd.randbytes(size[0] * size[1])) for _ in range(4)]
    tile = Image.blend(Image.blend(dice[0], dice[1], 0.5), Image.blend(dice[2], dice[3], 0.5), 0.5)
    return Image.merge("RGB", (tile, tile, tile))


@lru_cache(maxsize=4)
def _grain(width: int, height: int) -> Image.Image:
    """The tile repeated over a whole picture; the last few sizes are kept."""
    tile = _grain_tile()
    whole = Image.new("RGB", (width, height))
    for x in range(0, width, GRAIN_PIXELS):
        for y in range(0, height, GRAIN_PIXELS):
            whole.paste(tile, (x, y))
    return whole


def _label(image: Image.Image, caption: str) -> None:
    """What the picture is, small, in the lower left, the beginning of the prompt above it."""
    unit = image.height / 1024
    margin = round(30 * unit)
    small, large = _font(round(15 * unit)), _font(round(20 * unit))
    corner = image.crop(
        (margin, image.height - 3 * margin, image.width // 2, image.height - margin)
    ).convert("L")
    ink, shadow = (
        ((30, 30, 40), (255, 255, 255))
        if corner.resize((1, 1)).tobytes()[0] > LIGHT
        else ((255,) * 3, (0,) * 3)
    )
    pen = ImageDraw.Draw(image, "RGBA")
    y = image.height - margin
    for text, font, strength in ((LABEL, small, 200), (caption, large, 235)):
        if text:
            pen.text((margin + 1, y + 1), text, font=font, fill=(*shadow, 90), anchor="ls")
            pen.text((margin, y), text, font=font, fill=(*ink, strength), anchor="ls")
        y -= round(24 * unit)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _caption(prompt: str) -> str:
    """The beginning of the prompt, unless the built-in font lacks most of its letters."""
    letters = [_drawable(each) for each in unicodedata.normalize("NFKC", prompt)]
    words = " ".join("".join(letters).split())
    if sum(map(bool, letters)) * 2 < len(letters):
        return ""
    if len(words) <= PROMPT_CHARACTERS_MAX:
        return words
    return words[:PROMPT_CHARACTERS_MAX].rsplit(" ", 1)[0].rstrip(" ,.;:") + "..."


@lru_cache(maxsize=4096)
def _drawable(character: str) -> str:
    """The character, or what the font has in its place: it knows few letters with accents."""
    if character.isspace():
        return " "
    for candidate in (character, unicodedata.normalize("NFD", character)[0]):
        if bytes(_font(24).getmask(candidate)) != bytes(_font(24).getmask(UNKNOWN)):
            return candidate
    return ""
