"""Whose turn it is: what may go on at once in this process, for each user and for all together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID
from weakref import WeakValueDictionary


class Turns:
    """Gives turns in the order in which they are asked for; who has theirs blocks nobody else."""

    def __init__(self, *, most: int, most_of_one: int) -> None:
        self._most_of_one = most_of_one
        self._all = asyncio.Semaphore(most)
        # Each is held by those who use or await it, and gone with the last of them.
        self._own: WeakValueDictionary[UUID, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def of(self, user_id: UUID) -> AsyncIterator[None]:
        """A turn of a user. Who waits for their own takes no place of the others."""
        own = self._own.get(user_id)
        if own is None:
            own = self._own[user_id] = asyncio.Semaphore(self._most_of_one)
        async with own, self._all:
            yield
