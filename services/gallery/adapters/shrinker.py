"""Pictures made small by a process of our own: `shrinking.py`, started when the first one comes."""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from typing import Final

import msgspec

from services.gallery.adapters.shrinking import ANSWER_SIZE_BYTES, SIZE_BYTES, Answer
from services.gallery.domain.thumbnails import Shrunk
from services.gallery.ports import Shrinker, ShrinkerFailedError, UnshrinkableError

MEMORY_BYTES_MAX: Final = 1536 * 1024 * 1024
PICTURE_SECONDS_MAX: Final = 30.0  # of a processor
# By the clock, reading the picture included: it is kept waiting by whatever else runs. Less than
# the lease.
WAIT_SECONDS_MAX: Final = 90.0
SESSION_NICE: Final = 10  # a tenth of a service's share; 0: it steps back before nobody
PROGRAM: Final = "services.gallery.adapters.shrinking"


class ShrinkerProcess(Shrinker):
    """One process, one picture at a time. It ends, or is ended, when it takes too much."""

    def __init__(
        self,
        *,
        memory_bytes_max: int = MEMORY_BYTES_MAX,
        picture_seconds_max: float = PICTURE_SECONDS_MAX,
        wait_seconds_max: float = WAIT_SECONDS_MAX,
        session_nice: int = SESSION_NICE,
    ) -> None:
        self._arguments = (str(memory_bytes_max), str(picture_seconds_max), str(session_nice))
        self._wait_seconds_max = wait_seconds_max
        self._alone = asyncio.Lock()
        self._process: Process | None = None

    async def shrink(self, content: AsyncIterator[bytes], size_bytes: int) -> Shrunk:
        async with self._alone:
            try:
                async with asyncio.timeout(self._wait_seconds_max):
                    process = await self._running()
                    await _send(process, content, size_bytes)
                    answer, made = await _receive(process)
            except TimeoutError:
                await self._end()
                raise ShrinkerFailedError("it has waited too long to be made small") from None
            except (asyncio.IncompleteReadError, BrokenPipeError, ConnectionResetError):
                await self._end()
                raise ShrinkerFailedError("the process has died of it, or was ended") from None
            except BaseException:  # in the middle of a picture: nobody could send another
                await self._end()
                raise
        if answer.error is not None:
            raise UnshrinkableError(answer.error)
        return Shrunk(
            content=made, width=answer.width, height=answer.height, blur_hash=answer.blur_hash
        )

    async def close(self) -> None:
        await self._end()

    async def _running(self) -> Process:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                PROGRAM,
                *self._arguments,
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,
                # What is shared among sessions is shared with it as with a stranger: see there.
                start_new_session=True,
                # Of what the service knows, secrets first of all, it is told nothing.
                env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        return self._process

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _send(process: Process, content: AsyncIterator[bytes], size_bytes: int) -> None:
    stream = process.stdin
    assert stream is not None  # noqa: S101  # it was asked for
    stream.write(size_bytes.to_bytes(SIZE_BYTES, "big"))
    sent = 0
    async for chunk in content:
        sent += len(chunk)
        if sent > size_bytes:
            raise UnshrinkableError("it is longer than its storage says")
        stream.write(chunk)
        await stream.drain()
    if sent < size_bytes:
        raise UnshrinkableError("it is shorter than its storage says")


async def _receive(process: Process) -> tuple[Answer, bytes]:
    stream = process.stdout
    assert stream is not None  # noqa: S101  # it was asked for
    size = int.from_bytes(await stream.readexactly(ANSWER_SIZE_BYTES), "big")
    answer = msgspec.json.decode(await stream.readexactly(size), type=Answer)
    return answer, await stream.readexactly(answer.size_bytes)
