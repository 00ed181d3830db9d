"""A socket whose client does not read is hung up on: whoever waits for it waits for ever."""

import asyncio
import json
from typing import Any, cast
from uuid import uuid4

import pytest

from libs.runtime.auth import Principal
from libs.runtime.clock import SystemClock
from libs.runtime.errors import Unauthorized
from libs.runtime.http.connections import Connection
from services.gateway.api import sockets
from services.gateway.api.sockets import Socket
from services.gateway.api.streams import Desk
from services.gateway.domain.limits import Limit
from services.gateway.handlers.flood import FloodGate
from services.gateway.handlers.slots import Slots

CALLER = Principal(user_id=uuid4(), account_id=uuid4(), role="USER")
WAIT_SECONDS = 10.0


class Deaf:
    """A socket's far end: it has said something, and takes nothing in."""

    def __init__(self, *said: dict[str, Any]) -> None:
        self._said = [{"type": "websocket.receive", "text": json.dumps(each)} for each in said]
        self.was_aborted = False
        self.scope = {"extensions": {"daygen.connection": Connection(self._abort)}}

    def _abort(self) -> None:
        self.was_aborted = True

    async def receive(self) -> dict[str, Any]:
        if not self._said:
            await asyncio.Event().wait()
        return self._said.pop(0)

    async def send_text(self, _text: str) -> None:
        await asyncio.Event().wait()

    async def close(self, _code: int) -> None:
        await asyncio.Event().wait()


class Ended:
    """Streams of somebody whose log-in has ended."""

    async def open(self, *_: Any, **__: Any) -> Any:
        raise Unauthorized("The log-in has ended: log in again.")


@pytest.mark.parametrize("said", [{"type": "ping"}, {"type": "subscribe", "channel": "user"}])
async def test_who_does_not_read_is_hung_up_on_whatever_is_said(
    monkeypatch: pytest.MonkeyPatch, said: dict[str, Any]
) -> None:
    """The first is to be answered, the second is answered by closing the socket."""
    monkeypatch.setattr(sockets, "SEND_SECONDS", 0.02)
    deaf = Deaf(said)
    desk = Desk(
        streams=cast(Any, Ended()),
        slots=Slots(1),
        pushes=cast(Any, None),
        gate=FloodGate(SystemClock(), Limit(per_minute=10)),
    )
    async with asyncio.timeout(WAIT_SECONDS):
        await Socket(cast(Any, deaf), desk, CALLER).run()
    assert deaf.was_aborted
