"""Pictures made small by a real process: whatever they are, it answers or is ended."""

import asyncio
import io
import os
import struct
import zlib
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from services.gallery.adapters.shrinker import SESSION_NICE, ShrinkerProcess
from services.gallery.domain.thumbnails import SIDE_PIXELS_MAX, Shrunk
from services.gallery.ports import ShrinkerFailedError, UnshrinkableError

IN_FRONT = 0  # a busy machine would let the others go first for minutes


@pytest.fixture
async def shrinker() -> AsyncIterator[ShrinkerProcess]:
    made = ShrinkerProcess(session_nice=IN_FRONT)
    yield made
    await made.close()


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


async def chunks(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 65_536):
        yield content[start : start + 65_536]


async def shrink(shrinker: ShrinkerProcess, content: bytes) -> Shrunk:
    return await shrinker.shrink(chunks(content), len(content))


def png(width: int, height: int, *, depth: int = 8, kind: int = 2) -> bytes:
    """Black, a few kilobytes however many pixels there are."""

    def chunk(name: bytes, data: bytes) -> bytes:
        body = name + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    bits = {0: 1, 2: 3, 6: 4}[kind] * depth
    row = bytes(1 + (width * bits + 7) // 8)
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


MODES = [
    ("RGB", "PNG"), ("RGBA", "PNG"), ("P", "PNG"), ("L", "PNG"), ("LA", "PNG"), ("1", "PNG"),
    ("I;16", "PNG"), ("RGB", "JPEG"), ("L", "JPEG"), ("CMYK", "JPEG"), ("P", "GIF"),
    ("RGB", "WEBP"), ("RGBA", "WEBP"),
]  # fmt: skip


@pytest.mark.parametrize(("mode", "kind"), MODES)
async def test_every_kind_becomes_webp_within_the_side(
    shrinker: ShrinkerProcess, mode: str, kind: str
) -> None:
    made = await shrink(shrinker, encoded(Image.new(mode, (900, 300)), kind))
    assert (made.width, made.height) == (SIDE_PIXELS_MAX, 171)
    with Image.open(io.BytesIO(made.content)) as small:
        assert (small.format, small.size) == ("WEBP", (made.width, made.height))
    assert len(made.blur_hash) == 28


async def test_a_small_picture_stays_as_large_as_it_is(shrinker: ShrinkerProcess) -> None:
    made = await shrink(shrinker, encoded(Image.new("RGB", (3, 2), "red"), "PNG"))
    assert (made.width, made.height) == (3, 2)
    assert (made.blur_hash[0], made.blur_hash[2:6]) == ("L", "TI:j")  # 4 x 3 waves, 0xff0000


async def test_a_photograph_is_turned_upright(shrinker: ShrinkerProcess) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    made = await shrink(shrinker, encoded(Image.new("RGB", (800, 400)), "JPEG", exif=exif))
    assert (made.width, made.height) == (256, 512)


async def test_of_a_film_it_is_the_first_frame(shrinker: ShrinkerProcess) -> None:
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("white", "black")]
    film = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    made = await shrink(shrinker, film)
    with Image.open(io.BytesIO(made.content)) as small:
        assert min(small.convert("L").tobytes()) > 240


BAD = {
    "no picture": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "nothing": b"",
    "cut off": png(64, 64)[:-30],
    "a film": b"\0\0\0\x18ftypmp42" + bytes(100),
    "a document": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "a bitmap": encoded(Image.new("RGB", (8, 8)), "BMP"),
    "a bomb": png(20_000, 20_000, depth=1, kind=0),
    "a bomb in one row": png(300_000_000, 1, depth=1, kind=0),
    "more pixels than it says": png(8, 8)[:16] + struct.pack(">II", 9_000, 9_000) + png(8, 8)[24:],
}


@pytest.mark.parametrize("name", BAD)
async def test_what_cannot_be_shown_is_refused_and_the_next_is_made(
    shrinker: ShrinkerProcess, name: str
) -> None:
    with pytest.raises(UnshrinkableError):
        await shrink(shrinker, BAD[name])
    assert (await shrink(shrinker, png(8, 8))).width == 8


async def test_the_largest_that_may_be_brought_is_made_small(shrinker: ShrinkerProcess) -> None:
    made = await shrink(shrinker, png(9_900, 9_900, kind=6))
    assert (made.width, made.height) == (512, 512)


async def test_the_event_loop_goes_on_while_a_large_picture_is_made_small(
    shrinker: ShrinkerProcess,
) -> None:
    large = encoded(Image.effect_noise((3_000, 3_000), 80).convert("RGB"), "JPEG")
    await shrink(shrinker, png(8, 8))  # it has started
    loop = asyncio.get_running_loop()
    lags: list[float] = []

    async def tick() -> None:
        while True:
            before = loop.time()
            await asyncio.sleep(0.01)
            lags.append(loop.time() - before - 0.01)

    ticking = asyncio.create_task(tick())
    started = loop.time()
    await shrink(shrinker, large)
    took = loop.time() - started
    ticking.cancel()
    assert took > 0.05, "too quick to tell"
    assert sorted(lags)[len(lags) * 9 // 10] < 0.05, lags


async def test_one_that_waits_too_long_is_ended() -> None:
    shrinker = ShrinkerProcess(wait_seconds_max=0.001, session_nice=IN_FRONT)
    with pytest.raises(ShrinkerFailedError):
        await shrink(shrinker, png(2_000, 2_000))
    await shrinker.close()


async def test_one_that_takes_a_processor_for_too_long_ends_its_process_and_the_next_is_made() -> (
    None
):
    shrinker = ShrinkerProcess(picture_seconds_max=0.1, session_nice=IN_FRONT)
    with pytest.raises(ShrinkerFailedError):
        await shrink(shrinker, png(9_900, 9_900, kind=6))
    assert (await shrink(shrinker, png(8, 8))).width == 8
    await shrinker.close()


async def test_one_that_takes_too_much_memory_is_refused_and_the_next_is_made() -> None:
    shrinker = ShrinkerProcess(memory_bytes_max=400 * 1024 * 1024, session_nice=IN_FRONT)
    with pytest.raises(UnshrinkableError, match="MemoryError"):
        await shrink(shrinker, png(9_900, 9_900))
    assert (await shrink(shrinker, png(8, 8))).width == 8
    await shrinker.close()


async def test_it_runs_when_nothing_else_would() -> None:
    shrinker = ShrinkerProcess()
    await shrink(shrinker, png(8, 8))
    assert shrinker._process is not None
    pid = shrinker._process.pid
    assert os.sched_getscheduler(pid) == os.SCHED_IDLE
    assert os.getsid(pid) == pid
    # Or it would be the last in its own session alone.
    with suppress(FileNotFoundError):  # where the kernel does not share among sessions
        shares = await asyncio.to_thread(Path(f"/proc/{pid}/autogroup").read_text)
        assert shares.split()[1:] == ["nice", str(SESSION_NICE)]
    await shrinker.close()


async def test_one_whose_process_dies_fails_and_the_next_is_made(
    shrinker: ShrinkerProcess,
) -> None:
    await shrink(shrinker, png(8, 8))
    process = shrinker._process
    assert process is not None
    large = encoded(Image.effect_noise((2_500, 2_500), 80), "PNG")
    under_way = asyncio.create_task(shrink(shrinker, large))
    await asyncio.sleep(0.05)
    process.kill()
    with pytest.raises(ShrinkerFailedError):
        await under_way
    assert (await shrink(shrinker, png(8, 8))).width == 8


async def test_another_size_than_announced_spoils_only_itself(shrinker: ShrinkerProcess) -> None:
    content = png(8, 8)
    for announced in (len(content) - 1, len(content) + 1):
        with pytest.raises(UnshrinkableError):
            await shrinker.shrink(chunks(content), announced)
        assert (await shrink(shrinker, content)).width == 8


async def test_it_is_told_nothing_of_what_the_service_knows(
    shrinker: ShrinkerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GALLERY_S3_SECRET_KEY", "known to nobody else")
    await shrink(shrinker, png(8, 8))
    assert shrinker._process is not None
    environment = await asyncio.to_thread(Path(f"/proc/{shrinker._process.pid}/environ").read_bytes)
    assert b"PYTHONPATH" in environment
    assert b"known to nobody else" not in environment
