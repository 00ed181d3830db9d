"""What is taken in, and its size at the end."""

from collections.abc import AsyncIterator

import pytest

from infra.simulators import drawings, pictures, videos
from libs.runtime.pictures.heads import ALL, PICTURES, NotAPictureError
from libs.runtime.pictures.streams import Content, begin


async def begun(content: bytes, taken: frozenset[str] = PICTURES) -> Content:
    _, found = await begin(
        stream(content), side_pixels_max=2_000, pixels_max=1_000_000, taken=taken
    )
    return found


async def stream(content: bytes) -> AsyncIterator[bytes]:
    for place in range(0, len(content), 1_000):
        yield content[place : place + 1_000]


@pytest.mark.parametrize(
    "content",
    [
        pictures.draw("test", 96, 64, "png"),
        drawings.draw("test", 96, 64),
        videos.draw("test", 96, 64),
    ],
    ids=["picture", "drawing", "video"],
)
async def test_the_size_is_known_at_the_end(content: bytes) -> None:
    found = await begun(content, ALL)
    assert [chunk async for chunk in found]
    assert found.size == (96, 64)


@pytest.mark.parametrize(
    "content", [drawings.draw("test", 96, 64), videos.draw("test", 96, 64)], ids=["svg", "mp4"]
)
async def test_drawings_and_videos_are_taken_only_where_they_are_wanted(content: bytes) -> None:
    with pytest.raises(NotAPictureError, match="not taken"):
        await begun(content)


@pytest.mark.parametrize(
    "content",
    [drawings.draw("test", 3_000, 64), videos.draw("test", 64, 3_000)],
    ids=["svg", "mp4"],
)
async def test_one_that_is_too_large_is_refused_on_the_way(content: bytes) -> None:
    found = await begun(content, ALL)
    with pytest.raises(NotAPictureError, match="too large"):
        assert [chunk async for chunk in found]
