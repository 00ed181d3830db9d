"""A video that says what it is: simulated, and by whom. Pictures one after another in an MP4.

Source: ISO 14496-12. Frames are JPEG (sample entry `jpeg`), which players know.
"""

import struct
from functools import lru_cache

from infra.simulators import pictures

FRAMES_A_SECOND = 2
SECONDS = 2
_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


@lru_cache(maxsize=16)
def draw(provider: str, width: int, height: int, variation: int = 0) -> bytes:
    """An MP4 of a few frames, its index behind them."""
    count = SECONDS * FRAMES_A_SECOND
    frames = [
        pictures.draw(provider, width, height, "jpeg", (variation + number) % pictures.VARIATIONS)
        for number in range(count)
    ]
    kind = _box(b"ftyp", b"isom" + struct.pack(">I", 512) + b"isomiso2mp41")
    start = len(kind) + 8
    return kind + _box(b"mdat", b"".join(frames)) + _movie(frames, start, width, height)


def _movie(frames: list[bytes], start: int, width: int, height: int) -> bytes:
    count = len(frames)
    duration = count * 1000 // FRAMES_A_SECOND
    header = struct.pack(">5I", 0, 0, 0, 1000, duration) + struct.pack(">IH", 0x10000, 0x100)
    movie = _box(b"mvhd", header + bytes(10) + _MATRIX + bytes(24) + struct.pack(">I", 2))
    track = struct.pack(">6I", 7, 0, 0, 1, 0, duration) + bytes(16) + _MATRIX
    track += struct.pack(">II", width << 16, height << 16)
    media = _box(b"mdhd", struct.pack(">6I", 0, 0, 0, 1000, duration, 0))
    media += _box(b"hdlr", bytes(8) + b"vide" + bytes(12) + b"simulated\0")
    media += _box(b"minf", _media_information(frames, start, width, height))
    return _box(b"moov", movie + _box(b"trak", _box(b"tkhd", track) + _box(b"mdia", media)))


def _media_information(frames: list[bytes], start: int, width: int, height: int) -> bytes:
    count = len(frames)
    entry = bytes(6) + struct.pack(">H", 1) + bytes(16) + struct.pack(">HH", width, height)
    entry += struct.pack(">IIIH", 0x480000, 0x480000, 0, 1) + bytes(32) + struct.pack(">Hh", 24, -1)
    table = _box(b"stsd", struct.pack(">II", 0, 1) + _box(b"jpeg", entry))
    table += _box(b"stts", struct.pack(">4I", 0, 1, count, 1000 // FRAMES_A_SECOND))
    table += _box(b"stsc", struct.pack(">5I", 0, 1, 1, count, 1))
    sizes = b"".join(struct.pack(">I", len(each)) for each in frames)
    table += _box(b"stsz", struct.pack(">III", 0, 0, count) + sizes)
    table += _box(b"stco", struct.pack(">III", 0, 1, start))
    here = _box(b"dref", struct.pack(">II", 0, 1) + _box(b"url ", struct.pack(">I", 1)))
    return _box(b"vmhd", struct.pack(">IQ", 1, 0)) + _box(b"dinf", here) + _box(b"stbl", table)


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content) + 8) + kind + content
