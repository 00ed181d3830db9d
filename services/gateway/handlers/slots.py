"""How many streams somebody has open in this process, whose memory they take."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from services.gateway.handlers.stream_errors import TooManyStreams


class Slots:
    """A place for each open stream."""

    def __init__(self, per_user: int) -> None:
        self._per_user = per_user
        self._taken: Counter[UUID] = Counter()

    @contextmanager
    def taken(self, user_id: UUID) -> Iterator[None]:
        """One more stream of a user, as long as the block lasts.

        Raises:
            TooManyStreams: they have as many as anybody may.
        """
        if self._taken[user_id] >= self._per_user:
            raise TooManyStreams(self._per_user)
        self._taken[user_id] += 1
        try:
            yield
        finally:
            self._taken[user_id] -= 1
            if not self._taken[user_id]:
                del self._taken[user_id]
