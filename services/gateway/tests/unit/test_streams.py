"""Who may open a stream, as far as no database is asked."""

from datetime import timedelta
from typing import cast
from uuid import UUID

import pytest

from libs.runtime.clock import SystemClock
from libs.runtime.db import Database
from libs.runtime.errors import Unauthorized
from libs.runtime.wakeups import Wakeups
from services.gateway.handlers.streams import Streams
from services.gateway.store.feed import Listener


async def test_a_log_in_that_has_ended_opens_nothing_more() -> None:
    clock = SystemClock()
    streams = Streams(database=cast("Database", None), wakeups=cast("Wakeups", None), clock=clock)
    listener = Listener(user_id=UUID(int=1), session_epoch=0)
    ended = clock.now() - timedelta(seconds=1)
    with pytest.raises(Unauthorized):
        await streams.open(None, listener, after=None, until=ended)
