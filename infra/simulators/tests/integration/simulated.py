"""Simulators that serve, for the providers' official clients."""

import io

import aiohttp
from PIL import Image

from infra.simulators import pictures
from infra.simulators.app import Studio
from infra.simulators.scripts import Script, Situation

PICTURE = pictures.draw("test", 320, 320, "png")


class Simulated:
    """Simulators that serve."""

    def __init__(self, studio: Studio, url: str) -> None:
        self.studio = studio
        self.url = url

    def tell(self, name: str, situation: Situation, times: int = 1, rest: float = 0.0) -> None:
        script = Script(situation, retry_after_seconds=rest)
        self.studio.simulators[name].scripts.add(script, times)

    def orders(self, name: str) -> int:
        return len(self.studio.simulators[name].calls)


def size_of(content: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(content)) as picture:
        picture.load()
        return picture.size


async def fetched(url: str) -> bytes:
    """A result from where it lies."""
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        assert response.status == 200
        return await response.read()
