"""An open-loop load: requests leave when they are due, however slow the answers are."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from random import Random
from uuid import UUID

import aiohttp

# A sleep ends up to a millisecond late: the last stretch is waited out awake.
AWAKE_SECONDS = 0.0015
ANSWER_SECONDS_MAX = 30.0


@dataclass(frozen=True, slots=True)
class Shot:
    """One request: when it was to be sent, when it was, when its answer was there (Unix time)."""

    due: float
    sent: float
    answered: float
    job_id: UUID | None
    refusal: str = ""


Send = Callable[[int], Awaitable[UUID]]
"""Sends the request of this number and answers the accepted job's id."""


class Refused(Exception):
    """The system under load did not accept a request."""


def arrivals(rate: float, seconds: float, random: Random) -> list[float]:
    """Seconds from the start at which requests come, as independent users send them (Poisson)."""
    times: list[float] = []
    at = random.expovariate(rate)
    while at < seconds:
        times.append(at)
        at += random.expovariate(rate)
    return times


async def drive(times: Sequence[float], send: Send) -> list[Shot]:
    """Send every request at its time, and wait for the last answer."""
    began = time.time()
    shots: list[asyncio.Task[Shot]] = []
    try:
        for number, at in enumerate(times):
            await _until(began + at)
            shots.append(asyncio.create_task(_shoot(send, number, began + at)))
        return list(await asyncio.gather(*shots))
    finally:
        for shot in shots:
            shot.cancel()


async def _until(due: float) -> None:
    await asyncio.sleep(max(0.0, due - time.time() - AWAKE_SECONDS))
    while time.time() < due:  # noqa: ASYNC110 - awake on purpose
        await asyncio.sleep(0)


async def _shoot(send: Send, number: int, due: float) -> Shot:
    sent = time.time()
    try:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            job_id = await send(number)
    except (Refused, aiohttp.ClientError, OSError, TimeoutError) as error:
        refusal = str(error) or type(error).__name__
        return Shot(due, sent, time.time(), None, refusal)
    return Shot(due, sent, time.time(), job_id)
