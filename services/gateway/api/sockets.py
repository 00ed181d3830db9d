"""`/api/ws`: what streams tell, over one socket with a channel for each.

A client sends `{"type": "subscribe", "channel": "job:<id>", "lastEventId": 7}`, where the channel
is `job:<id>` for a job of its own or `user` for everything, and `lastEventId` where it has been;
`unsubscribe`; and `ping`. It is sent `subscribed`, `event`, `ended`, `unsubscribed`, `pong`, and
`error` for what was not understood or may not be.
"""

import asyncio
from contextlib import aclosing
from typing import Annotated, Any, Final, TypeAlias
from uuid import UUID

import msgspec
import structlog
from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from msgspec import Meta, Struct

from libs.runtime.auth import Principal
from libs.runtime.errors import DomainError, Unauthorized, Unavailable
from libs.runtime.http.connections import connection_of
from libs.runtime.http.event_stream import SEND_SECONDS, SlowReaderError
from libs.runtime.http.problems import problem_of
from services.gateway.api.callers import Callers
from services.gateway.api.jobs import job_id_of
from services.gateway.api.streams import Desk, listener_of
from services.gateway.handlers.errors import Flooded
from services.gateway.handlers.stream_errors import (
    AlreadySubscribed,
    BadMessage,
    NoSuchChannel,
    TooManyChannels,
)
from services.gateway.handlers.streams import Stream
from services.gateway.handlers.tickets import SOCKET

CHANNELS_MAX: Final = 50
MESSAGE_CHARACTERS_MAX: Final = 1_000
USER_CHANNEL: Final = "user"
JOB_CHANNEL: Final = "job:"
_REFUSED: Final = 1008  # coming back does not help
_TRY_AGAIN: Final = 1013

logger = structlog.get_logger(__name__)


class Subscribe(Struct, tag_field="type", tag="subscribe", rename="camel"):
    channel: str
    last_event_id: Annotated[int, Meta(ge=-(2**62), le=2**62)] | None = None


class Unsubscribe(Struct, tag_field="type", tag="unsubscribe"):
    channel: str


class Ping(Struct, tag_field="type", tag="ping"):
    pass


Message: TypeAlias = Subscribe | Unsubscribe | Ping

_MESSAGES: Final[msgspec.json.Decoder[Message]] = msgspec.json.Decoder(Message)


def create_router(desk: Desk, callers: Callers) -> APIRouter:
    """The socket."""
    router = APIRouter()

    @router.websocket(SOCKET)
    async def talk(websocket: WebSocket) -> None:
        """The caller's events, channel by channel, by a bearer or a ticket."""
        try:
            ticket = websocket.query_params.get("ticket")
            caller = await callers.listener(connection=websocket, ticket=ticket)
            with desk.slots.taken(caller.user_id):
                await websocket.accept()
                await Socket(websocket, desk, caller).run()
        except DomainError as error:
            await websocket.send_denial_response(problem_of(websocket.scope, error))

    return router


class _ClosedError(Exception):
    """The socket is to be closed, with this code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Socket:
    """One client's socket. Whoever writes, waits until it is read."""

    def __init__(self, websocket: WebSocket, desk: Desk, caller: Principal) -> None:
        self._websocket = websocket
        self._desk = desk
        self._caller = caller
        self._channels: dict[str, asyncio.Task[None]] = {}
        self._writing = asyncio.Lock()

    async def run(self) -> None:
        """Answer until the client leaves, does not read, or may listen no more."""
        try:
            async with asyncio.TaskGroup() as group:
                try:
                    await self._answer(group)
                finally:
                    for channel in self._channels.values():
                        channel.cancel()
        except* WebSocketDisconnect:
            pass
        except* SlowReaderError:
            logger.info("slow_reader_dropped", seconds=SEND_SECONDS)
            if connection := connection_of(self._websocket.scope):
                connection.abort()
        except* _ClosedError as group_of_errors:
            (error, *_) = _leaves(group_of_errors)
            await self._close(error.code)

    async def _close(self, code: int) -> None:
        """Say goodbye, unless the client does not read: then hang up."""
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self._websocket.close(code)
        except TimeoutError:
            if connection := connection_of(self._websocket.scope):
                connection.abort()

    async def _answer(self, group: asyncio.TaskGroup) -> None:
        while True:
            received = await self._websocket.receive()
            if received["type"] == "websocket.disconnect":
                raise WebSocketDisconnect
            try:
                # Each message is a request: a subscription asks the database as much as any other.
                self._desk.gate.pass_one(self._caller.api_key_id or self._caller.user_id)
                await self._take(_message(received), group)
            except Flooded as error:
                await self._send(_error(error))
                raise _ClosedError(_TRY_AGAIN) from None
            except Unavailable:
                raise _ClosedError(_TRY_AGAIN) from None
            except Unauthorized:
                raise _ClosedError(_REFUSED) from None
            except DomainError as error:
                await self._send(_error(error))

    async def _take(self, message: Message, group: asyncio.TaskGroup) -> None:
        match message:
            case Ping():
                await self._send({"type": "pong"})
            case Unsubscribe(channel=channel):
                await self._unsubscribe(channel)
            case Subscribe(channel=channel, last_event_id=after):
                await self._subscribe(channel, after, group)

    async def _subscribe(self, channel: str, after: int | None, group: asyncio.TaskGroup) -> None:
        if channel in self._channels:
            raise AlreadySubscribed(channel)
        if len(self._channels) >= CHANNELS_MAX:
            raise TooManyChannels(CHANNELS_MAX)
        stream = await self._desk.streams.open(
            _job_of(channel),
            listener_of(self._caller),
            after=after,
            until=self._caller.expires_at,
        )
        await self._send({"type": "subscribed", "channel": channel})
        if stream is None:
            await self._send({"type": "ended", "channel": channel})
        else:
            self._channels[channel] = group.create_task(self._follow(channel, stream))

    async def _unsubscribe(self, channel: str) -> None:
        following = self._channels.pop(channel, None)
        if following is None:
            raise NoSuchChannel(channel)
        following.cancel()
        await asyncio.wait({following})  # nothing of it comes behind this answer
        await self._send({"type": "unsubscribed", "channel": channel})

    async def _follow(self, channel: str, stream: Stream) -> None:
        try:
            async with aclosing(stream.events()) as events:
                async for told in events:
                    if told is not None:
                        data = self._desk.pushes.data(told)
                        await self._send(
                            {
                                "type": "event",
                                "channel": channel,
                                "id": told.position,
                                "event": told.kind,
                                "data": data,
                            }
                        )
        except Unavailable:
            raise _ClosedError(_TRY_AGAIN) from None
        if stream.was_refused:
            raise _ClosedError(_REFUSED)
        del self._channels[channel]
        await self._send({"type": "ended", "channel": channel})

    async def _send(self, message: dict[str, Any]) -> None:
        text = msgspec.json.encode(message).decode()
        try:
            async with asyncio.timeout(SEND_SECONDS), self._writing:
                await self._websocket.send_text(text)
        except TimeoutError:
            raise SlowReaderError from None


def _message(received: Any) -> Message:
    text = received.get("text")
    if text is None:
        raise BadMessage("send text, and not bytes")
    if len(text) > MESSAGE_CHARACTERS_MAX:
        raise BadMessage(f"send at most {MESSAGE_CHARACTERS_MAX} characters")
    try:
        return _MESSAGES.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise BadMessage(str(error)) from None


def _job_of(channel: str) -> UUID | None:
    if channel == USER_CHANNEL:
        return None
    if channel.startswith(JOB_CHANNEL):
        return job_id_of(channel.removeprefix(JOB_CHANNEL))
    raise NoSuchChannel(channel)


def _error(error: DomainError) -> dict[str, Any]:
    return {
        "type": "error",
        "code": error.code,
        "error": error.message,
        "message": error.message,
        **error.details,
    }


def _leaves(group: BaseExceptionGroup[_ClosedError]) -> list[_ClosedError]:
    return [each for each in group.exceptions if isinstance(each, _ClosedError)]
