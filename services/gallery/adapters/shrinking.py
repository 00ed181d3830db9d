"""The program that makes pictures small: one after the other, from its input to its output.

It is given strangers' bytes, so it is started without the service's environment, and may hold only
so much memory and take so much of a processor for one picture. It runs when nothing else would. It
ends with its input, as when the service dies.

Arguments: the bytes of memory that it may have, the seconds of a processor, and how far it steps
back (as `nice`, 0 to 19).

In: eight bytes with the picture's size, and the picture. Out: four bytes with the size of an
`Answer` as JSON, and that; then as many bytes as it says.
"""

import io
import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct
from PIL import Image, ImageOps, WebPImagePlugin  # noqa: F401  # not one that `preinit` knows

from services.gallery.domain import blurhash
from services.gallery.domain.thumbnails import SIDE_PIXELS_MAX, SOURCE_PIXELS_MAX

SIZE_BYTES: Final = 8
ANSWER_SIZE_BYTES: Final = 4
QUALITY: Final = 80
METHOD: Final = 2  # of 0 to 6: more takes far longer and saves few bytes
_FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF")
_HASHED_SIDE_PIXELS: Final = 32
_WAVES: Final = (4, 3)


class Answer(Struct, frozen=True, kw_only=True):
    """What became of a picture: an error, or a thumbnail of so many bytes."""

    error: str | None = None
    size_bytes: int = 0
    width: int = 0
    height: int = 0
    blur_hash: str = ""


def shrink(content: bytes) -> tuple[Answer, bytes]:
    """A picture's thumbnail, or why there is none: whatever the bytes are, this does not raise."""
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            if image.width * image.height > SOURCE_PIXELS_MAX:
                return Answer(error=f"{image.width} x {image.height} pixels are too many"), b""
            small = _small(image)
        out = io.BytesIO()
        small.save(out, "WEBP", quality=QUALITY, method=METHOD)
        made = out.getvalue()
        answer = Answer(
            size_bytes=len(made),
            width=small.width,
            height=small.height,
            blur_hash=_blur_hash(small),
        )
    except Exception as error:  # noqa: BLE001  # decoders raise whatever they like
        return Answer(error=f"it cannot be read: {type(error).__name__}"), b""
    return answer, made


def _small(image: Image.Image) -> Image.Image:
    """Upright, within the side, in true colours; of a film the first frame."""
    size = (SIDE_PIXELS_MAX, SIDE_PIXELS_MAX)
    image.draft("RGB", size)  # a JPEG unfolds only as far as is needed
    image.load()
    plain = _plain(image)
    plain.thumbnail(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    return ImageOps.exif_transpose(plain)


def _plain(image: Image.Image) -> Image.Image:
    if image.mode in {"RGB", "RGBA"}:
        return image
    if image.mode.startswith("I"):  # 16 bits of grey
        return image.convert("I").point(lambda value: value / 256).convert("L").convert("RGB")
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _blur_hash(small: Image.Image) -> str:
    """Its colours, on white where one sees through it."""
    on = small.resize((_HASHED_SIDE_PIXELS, _HASHED_SIDE_PIXELS), Image.Resampling.BOX)
    if on.mode == "RGBA":
        white = Image.new("RGBA", on.size, "white")
        on = Image.alpha_composite(white, on).convert("RGB")
    raw = on.tobytes()
    pixels = list(zip(raw[::3], raw[1::3], raw[2::3], strict=True))
    return blurhash.encode(pixels, on.width, *_WAVES)


def _yield_to_others(session_nice: int) -> None:
    """Have a processor while nobody else wants it, and next to nothing otherwise."""
    if not session_nice:
        return
    os.nice(19)
    with suppress(AttributeError, OSError):  # Linux alone knows it, and may forbid it
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    # Linux may share the processors among sessions first, and ours is one of its own: without this
    # it had as much as each of the services. A part of that keeps it going on a busy machine.
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(session_nice))


def main(memory_bytes_max: int, picture_seconds_max: float, session_nice: int) -> None:
    """Answer until the input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes_max, memory_bytes_max))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    Image.MAX_IMAGE_PIXELS = SOURCE_PIXELS_MAX
    Image.preinit()
    _yield_to_others(session_nice)  # now that it has started: that alone would take long
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while len(head := source.read(SIZE_BYTES)) == SIZE_BYTES:
        size_bytes = int.from_bytes(head, "big")
        content = source.read(size_bytes)
        if len(content) < size_bytes:
            return
        # Of a processor's time, not the clock's: how long we are kept waiting is not its fault. Out
        # of it we die, wherever we are.
        signal.setitimer(signal.ITIMER_PROF, picture_seconds_max)
        answer, made = shrink(content)
        signal.setitimer(signal.ITIMER_PROF, 0)
        del content
        encoded = msgspec.json.encode(answer)
        sink.write(len(encoded).to_bytes(ANSWER_SIZE_BYTES, "big") + encoded + made)
        sink.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
