"""From a prompt and a seed to an encoded picture: scene and palette, label, JPEG."""

import hashlib
import io
import random
import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

from services.generation.adapters.drawing import colour, folds, land, night, water
from services.generation.adapters.drawing.canvas import Canvas
from services.generation.adapters.drawing.colour import Palette

LABEL = "drawn locally, no AI provider"
PROMPT_CHARACTERS_MAX = 64
JPEG_QUALITY = 87
CONTENT_TYPE = "image/jpeg"
LIGHT = 150
FAINT = [level // 3 for level in range(256)]
UNKNOWN = "\U0010ffff"  # no font has it: drawn as the box that stands for what is missing


class Scene(NamedTuple):
    """A kind of picture, the moods it comes in, and the words that ask for it."""

    paint: Callable[[Canvas], None]
    palettes: tuple[Palette, ...]
    words: frozenset[str]


def _scene(paint: Callable[[Canvas], None], palettes: tuple[Palette, ...], words: str) -> Scene:
    return Scene(paint, palettes, frozenset(words.split()))


SCENES = (
    _scene(land.dunes, colour.WARM, "desert dune dunes sand sahara camel caravan"),
    _scene(land.peaks, colour.COOL, "mountain mountains peak peaks alps alpine fog mist"),
    _scene(
        land.wood, colour.COOL + colour.WARM[:1], "forest wood woods tree trees fox deer hill hills"
    ),
    _scene(night.aurora, colour.NIGHT, "aurora northern night winter arctic stars starry"),
    _scene(night.planet, colour.NIGHT, "space planet planets galaxy moon moons mars saturn cosmic"),
    _scene(water.sea, colour.SEA, "sea ocean beach boat ship sail lighthouse harbour sunset"),
    _scene(water.lake, colour.COOL[:2] + colour.SEA[2:], "lake river water calm reflection"),
    _scene(folds.silk, colour.SILK, "abstract silk wave waves pattern music minimal"),
)


def draw(*, prompt: str, seed: int, model: str, width: int, height: int) -> bytes:
    """The picture for these inputs as JPEG; the same inputs give the same bytes, in any process."""
    identity = "\x00".join((prompt, str(seed), model, f"{width}x{height}"))
    rnd = random.Random(hashlib.sha256(identity.encode()).digest())  # noqa: S311  # repeatable
    scene = rnd.choice(_fitting(prompt))
    canvas = Canvas(width, height, colour.shifted(rnd.choice(scene.palettes), rnd), rnd)
    scene.paint(canvas)
    _label(canvas.image, _caption(prompt))
    encoded = io.BytesIO()
    canvas.image.save(
        encoded, "JPEG", quality=JPEG_QUALITY, subsampling="4:2:0", comment=LABEL.encode()
    )
    return encoded.getvalue()


def _fitting(prompt: str) -> Sequence[Scene]:
    """The scenes that a prompt has words for, else all of them."""
    words = frozenset(re.findall(r"\w+", prompt.casefold()))
    return [scene for scene in SCENES if scene.words & words] or SCENES


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
    top = image.height - 3 * margin
    for text, font, light, up in ((LABEL, small, 200, 0), (caption, large, 240, round(24 * unit))):
        if text:
            mask, (left, above) = _written(text, font, light)
            place = (margin + left, top + 2 * margin - up + above)
            image.paste(shadow, (place[0] + 1, place[1] + 1), mask.point(FAINT))
            image.paste(ink, place, mask)


@lru_cache(maxsize=16)
def _written(
    text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, light: int
) -> tuple[Image.Image, tuple[int, int]]:
    """A line of text as a mask, and where it lies from the start of its baseline."""
    left, top, right, bottom = map(round, font.getbbox(text, anchor="ls"))
    mask = Image.new("L", (right - left + 1, bottom - top + 1))
    ImageDraw.Draw(mask).text((-left, -top), text, font=font, fill=light, anchor="ls")
    return mask, (left, top)


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
