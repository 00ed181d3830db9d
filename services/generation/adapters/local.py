"""The provider `local`: draws in this process, so that a picture needs no key and no network."""

import asyncio
import hashlib
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import lru_cache, partial
from typing import Any
from uuid import UUID

from libs.events.generation import CostSource, FailureCode
from services.generation.adapters.drawing import paint
from services.generation.domain.capabilities import Capabilities, Model
from services.generation.ports import Provider, ProviderError, ProviderRequest, ProviderResult

CAPABILITIES = Capabilities(
    provider="local",
    models=(Model(id="local-sketch"),),
    units_max=8,
    concurrency=8,
    is_idempotent=True,
)

SIDE_PIXELS_MIN = 1024
SIDE_PIXELS_MAX = 2560
SEED_MAX = 2**31 - 1

# The same order gives the same bytes, so one that comes again soon need not be drawn again.
PICTURES_KEPT = 32

THREADS = 2
NICENESS = 5
# How long a thread in Python code may keep the event loop waiting; the default is ten times this.
SWITCH_SECONDS = 0.0005

_SIZE = re.compile(r"\s*(\d{1,5})\s*[x*]\s*(\d{1,5})\s*")
_RATIO = re.compile(r"\s*(\d{1,3})\s*[:x]\s*(\d{1,3})\s*")


def drawing_threads() -> ThreadPoolExecutor:
    """Few threads, which let the event loop of their process go first: a queue waits behind it."""
    sys.setswitchinterval(SWITCH_SECONDS)
    return ThreadPoolExecutor(THREADS, thread_name_prefix="draw", initializer=_step_back)


def _step_back() -> None:
    if sys.platform == "linux":  # elsewhere it would be the whole process
        os.nice(NICENESS)


class LocalProvider(Provider):
    """Draws on an executor, so that the event loop stays free."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._draw = lru_cache(maxsize=PICTURES_KEPT)(paint.draw)

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    async def generate(self, request: ProviderRequest) -> ProviderResult:
        """Draw `units` pictures: one seed's successors, so all differ and any can be had again."""
        width, height = picture_size(request.options)
        seed = picture_seed(request.options, request.job_id)
        loop = asyncio.get_running_loop()
        pictures = []
        for variation in range(request.units):
            draw = partial(
                self._draw,
                prompt=request.prompt,
                seed=seed + variation,
                model=request.model,
                width=width,
                height=height,
            )
            pictures.append(_stream(await loop.run_in_executor(self._executor, draw)))
        return ProviderResult(pictures=pictures, seed=seed, cost_source=CostSource.NONE)


def picture_seed(options: Mapping[str, Any], job_id: UUID) -> int:
    """The seed asked for, else one that every attempt at the job shares.

    Raises:
        ProviderError: it is not a number that we take.
    """
    seed = options.get("seed")
    if seed is None:
        return int.from_bytes(hashlib.sha256(job_id.bytes).digest()[:4], "big") & SEED_MAX
    if type(seed) is not int or not 0 <= seed <= SEED_MAX:
        raise _bad_request(f"The seed must be a whole number from 0 to {SEED_MAX}.")
    return seed


def picture_size(options: Mapping[str, Any]) -> tuple[int, int]:
    """Width and height: from `size`, `width` and `height`, or an aspect ratio; else a square.

    Raises:
        ProviderError: the size is none that we draw.
    """
    size = _asked_size(options)
    if not all(SIDE_PIXELS_MIN <= side <= SIDE_PIXELS_MAX for side in size):
        raise _bad_request(
            f"A picture of {size[0]} x {size[1]} cannot be drawn: "
            f"choose sides from {SIDE_PIXELS_MIN} to {SIDE_PIXELS_MAX} pixels."
        )
    return size


def _asked_size(options: Mapping[str, Any]) -> tuple[int, int]:
    if options.get("size") is not None:
        return _pair(_SIZE, "size", options["size"], "1024x1024")
    width, height = options.get("width"), options.get("height")
    if width is not None or height is not None:
        width = SIDE_PIXELS_MIN if width is None else width
        height = SIDE_PIXELS_MIN if height is None else height
        if type(width) is not int or type(height) is not int:
            raise _bad_request("Width and height must be whole numbers of pixels.")
        return width, height
    for name in ("aspect_ratio", "aspectRatio"):
        if options.get(name) is not None:
            across, down = _pair(_RATIO, name, options[name], "16:9")
            short = min(across, down)
            if short == 0:
                raise _bad_request(f"The {name} has a zero: write it like 16:9.")
            return SIDE_PIXELS_MIN * across // short, SIDE_PIXELS_MIN * down // short
    return SIDE_PIXELS_MIN, SIDE_PIXELS_MIN


def _pair(pattern: re.Pattern[str], name: str, value: Any, example: str) -> tuple[int, int]:
    found = pattern.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise _bad_request(f"The {name} cannot be read: write it like {example}.")
    return int(found[1]), int(found[2])


def _bad_request(message: str) -> ProviderError:
    return ProviderError(FailureCode.BAD_REQUEST, message)


async def _stream(content: bytes) -> AsyncIterator[bytes]:
    yield content
