"""Real pictures that say what they are: simulated, and by whom. Drawn once each, then kept."""

import io
import struct
import zlib
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

VARIATIONS = 6
_HUES = ((38, 70, 83), (42, 157, 143), (120, 80, 140), (200, 110, 70), (60, 90, 160), (90, 120, 60))
_EXIF_SOFTWARE = 0x0131


@lru_cache(maxsize=256)
def draw(provider: str, width: int, height: int, form: str, variation: int = 0) -> bytes:
    """A picture as `png`, `jpeg` or `webp`, with texts inside that nobody asked for."""
    red, green, blue = _HUES[variation % len(_HUES)]
    top, bottom = (red, green, blue), (red // 3, green // 3, blue // 3)
    ramp = Image.new("RGB", (1, 2))
    ramp.putpixel((0, 0), top)
    ramp.putpixel((0, 1), bottom)
    picture = ramp.resize((width, height), Image.Resampling.BILINEAR)
    pen = ImageDraw.Draw(picture)
    side = min(width, height)
    pen.ellipse(
        (width * 0.62, height * 0.12, width * 0.62 + side * 0.2, height * 0.12 + side * 0.2),
        fill=(240, 220, 170),
    )
    for text, size, place in (("simulated", side // 8, 0.5), (provider, side // 12, 0.66)):
        font = ImageFont.load_default(max(10, size))
        pen.text((width / 2, height * place), text, font=font, fill="white", anchor="mm")
    return _encoded(picture, form)


@lru_cache(maxsize=8)
def padded(png: bytes, size_bytes: int) -> bytes:
    """The same picture with a chunk that nobody knows, to be that large."""
    place = len(png) - 12  # before the end mark
    kind, filling = b"juNk", bytes(size_bytes - len(png) - 12)
    check = zlib.crc32(filling, zlib.crc32(kind))
    chunk = struct.pack(">I", len(filling)) + kind + filling + struct.pack(">I", check)
    return png[:place] + chunk + png[place:]


def _encoded(picture: Image.Image, form: str) -> bytes:
    out = io.BytesIO()
    exif = Image.Exif()
    exif[_EXIF_SOFTWARE] = "simulated"
    if form == "png":
        texts = PngImagePlugin.PngInfo()
        texts.add_text("parameters", "simulated")
        picture.save(out, "PNG", pnginfo=texts, compress_level=1)
    elif form == "webp":
        picture.save(out, "WEBP", quality=80, exif=exif)
    else:
        picture.save(out, "JPEG", quality=88, exif=exif)
    return out.getvalue()
