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

PICTURE_SECONDS_MAX: Final = 30.0
PROGRAM: Final = "services.gallery.adapters.shrinking"


class ShrinkerProcess(Shrinker):
    """One process, one picture at a time. It is ended when it takes too long."""

    def __init__(
        self, *, program: str = PROGRAM, picture_seconds_max: float = PICTURE_SECONDS_MAX
    ) -> None:
        self._program = program
        self._picture_seconds_max = picture_seconds_max
        self._alone = asyncio.Lock()
        self._process: Process | None = None

    async def shrink(self, content: AsyncIterator[bytes], size_bytes: int) -> Shrunk:
        async with self._alone:
            try:
                async with asyncio.timeout(self._picture_seconds_max):
                    process = await self._running()
                    await _send(process, content, size_bytes)
                    answer, made = await _receive(process)
            except TimeoutError:
                await self._end()
                raise ShrinkerFailedError("it took too long to be made small") from None
            except (asyncio.IncompleteReadError, BrokenPipeError, ConnectionResetError):
                await self._end()
                raise ShrinkerFailedError("the process that made it small has died") from None
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
                self._program,
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,
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
