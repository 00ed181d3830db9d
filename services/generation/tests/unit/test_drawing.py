"""Local drawing: another picture for another wish, and each a whole one."""

import io
import random
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageStat

from services.generation.adapters.drawing import paint
from services.generation.adapters.drawing.canvas import Canvas

WISH: dict[str, Any] = {
    "prompt": "a lighthouse at dusk",
    "seed": 7,
    "model": "local-sketch",
    "width": 1024,
    "height": 1024,
}


def opened(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


@pytest.mark.parametrize(
    "change",
    [{"prompt": "a lighthouse at dawn"}, {"seed": 8}, {"model": "other"}, {"width": 1100}],
)
def test_any_change_of_the_wish_changes_the_picture(change: dict[str, Any]) -> None:
    assert paint.draw(**WISH) != paint.draw(**{**WISH, **change})


@pytest.mark.parametrize("size", [(1024, 1024), (1820, 1024), (1024, 2389)])
def test_a_picture_has_the_size_asked_for_and_is_a_jpeg(size: tuple[int, int]) -> None:
    image = opened(paint.draw(**{**WISH, "width": size[0], "height": size[1]}))
    assert image.format == "JPEG"
    assert image.size == size


def test_a_picture_says_that_no_provider_made_it() -> None:
    assert opened(paint.draw(**WISH)).info["comment"] == paint.LABEL.encode()


@pytest.mark.parametrize("scene", paint.SCENES, ids=lambda scene: scene.paint.__name__)
def test_every_scene_fills_its_canvas_with_every_palette(scene: paint.Scene) -> None:
    for palette in scene.palettes:
        canvas = Canvas(1024, 1024, palette, random.Random(3))
        scene.paint(canvas)
        extent = ImageStat.Stat(canvas.image.convert("L")).stddev[0]
        assert extent > 5, "a flat surface is no picture"
        corner = canvas.image.getpixel((1023, 1023))
        assert corner != (0, 0, 0), "a part was left unpainted"


@pytest.mark.parametrize(
    ("prompt", "kinds"),
    [
        ("The SEA, the sea!", {"sea"}),
        ("a caravan under two moons", {"dunes", "planet"}),
        ("my grandmother", {scene.paint.__name__ for scene in paint.SCENES}),
    ],
)
def test_words_of_the_prompt_choose_among_the_scenes(prompt: str, kinds: set[str]) -> None:
    assert {scene.paint.__name__ for scene in paint._fitting(prompt)} == kinds


def test_the_label_changes_the_corner_and_only_that() -> None:
    plain, labelled = (Image.new("RGB", (1024, 1024), (40, 60, 90)) for _ in range(2))
    paint._label(labelled, "a prompt")
    left, top, right, bottom = _difference(plain, labelled)
    assert left >= 20
    assert top > 940
    assert right < 400
    assert bottom <= 1004


def _difference(first: Image.Image, second: Image.Image) -> tuple[int, int, int, int]:
    box = ImageChops.difference(first, second).getbbox()
    assert box is not None
    return box


@pytest.mark.parametrize(
    ("prompt", "caption"),
    [
        ("  a  calm\nsea ", "a calm sea"),
        ("x" * 64, "x" * 64),
        ("word " * 30, ("word " * 12).strip() + "..."),
        ("señor Müller", "senor Muller"),
        ("海の朝", ""),
        ("a 海 sea", "a sea"),
        ("\x00\x07", ""),
    ],
)
def test_the_caption_is_one_short_line_of_letters_the_font_has(prompt: str, caption: str) -> None:
    assert paint._caption(prompt) == caption
