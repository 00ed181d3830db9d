"""What is taken out of pictures, and what stays."""

import io

import pytest
from PIL import Image, ImageCms, PngImagePlugin

from libs.runtime.pictures.cleaning import cleaner
from libs.runtime.pictures.heads import NotAPictureError

SECRET = b"48.2082 N, 16.3738 E"
STEPS = (1, 100, 10**9)


def picture(form: str, orientation: int = 0) -> bytes:
    out = io.BytesIO()
    exif = Image.Exif()
    exif[0x010E] = SECRET.decode()
    if orientation:
        exif[0x0112] = orientation
    image = Image.effect_noise((64, 48), 50).convert("RGB")
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    texts = PngImagePlugin.PngInfo()
    texts.add_text("prompt", SECRET.decode())
    more = {"pnginfo": texts} if form == "PNG" else {"comment": SECRET} if form == "JPEG" else {}
    image.save(out, form, exif=exif, icc_profile=profile, **more)
    return out.getvalue()


def clean(content: bytes, form: str, step: int = 10**9) -> bytes:
    one = cleaner(f"image/{form.lower()}")
    chunks = [content[place : place + step] for place in range(0, len(content), step)]
    return b"".join(map(one.feed, chunks)) + one.close()


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_texts_go_and_pixels_and_profile_stay(form: str, step: int) -> None:
    before = picture(form)
    assert SECRET in before
    after = clean(before, form, step)
    assert SECRET not in after
    with Image.open(io.BytesIO(before)) as was, Image.open(io.BytesIO(after)) as now:
        now.load()
        assert now.tobytes() == was.tobytes()
        assert now.info["icc_profile"] == was.info["icc_profile"]
        assert not now.getexif()


def test_how_a_photograph_is_held_stays() -> None:
    after = clean(picture("JPEG", orientation=6), "JPEG")
    assert SECRET not in after
    with Image.open(io.BytesIO(after)) as now:
        assert dict(now.getexif()) == {0x0112: 6}


def test_a_clean_picture_is_not_changed() -> None:
    for form in ("PNG", "JPEG", "WEBP"):
        once = clean(picture(form), form)
        assert clean(once, form) == once


@pytest.mark.parametrize("part", [0.2, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF"])
def test_a_picture_that_is_cut_off_is_refused(form: str, part: float) -> None:
    out = io.BytesIO()
    Image.effect_noise((64, 48), 50).save(out, form)
    content = out.getvalue()
    assert len(clean(content, form)) > 0
    with pytest.raises(NotAPictureError):
        clean(content[: int(len(content) * part)], form)


@pytest.mark.parametrize(
    "content", [b"\x89PNG\r\n\x1a\n\xff\xff\xff\xffIHDR", b"\xff\xd8\x00\x00\x00\x00"]
)
def test_damaged_structure_is_refused(content: bytes) -> None:
    form = "PNG" if content[1:4] == b"PNG" else "JPEG"
    with pytest.raises(NotAPictureError):
        clean(content, form)
