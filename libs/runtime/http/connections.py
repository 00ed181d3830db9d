"""Protocols of uvicorn that let an application reach its connection, which ASGI does not.

Who writes a long answer has to know when the server wants to stop, and must be able to cut off
somebody who does not read: a connection that is closed in order waits for them for ever.

Named where a server is started: `--http libs.runtime.http.connections:HttpProtocol`.
"""

import logging
from collections.abc import Callable
from typing import Any, Final

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

_EXTENSION: Final = "daygen.connection"

# Uvicorn logs the whole address of each socket that opens, and a ticket is a part of it.
_logger: Final = logging.getLogger("daygen.websockets")
_logger.setLevel(logging.WARNING)


class Connection:
    """The connection that a request came by."""

    def __init__(self, abort: Callable[[], None]) -> None:
        self.abort = abort
        self._is_stopping = False
        self._at_shutdown: Callable[[], object] | None = None

    def at_shutdown(self, call: Callable[[], object]) -> None:
        """What is to be called when the server wants to stop; at once if it does already."""
        self._at_shutdown = call
        if self._is_stopping:
            call()

    def stop(self) -> None:
        """The server wants to stop."""
        self._is_stopping = True
        if self._at_shutdown is not None:
            self._at_shutdown()


def connection_of(scope: Scope) -> Connection | None:
    """A request's connection; none where another server serves."""
    found = scope.get("extensions", {}).get(_EXTENSION)
    return found if isinstance(found, Connection) else None


class HttpProtocol(HttpToolsProtocol):
    """HTTP, with the connection in the scope."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        scope: Any = self.scope
        scope["extensions"] = {_EXTENSION: Connection(self.transport.abort)}

    def shutdown(self) -> None:
        """Let answers end, and tell those that would not by themselves."""
        super().shutdown()
        scope: Any = self.scope
        connection = connection_of(scope or {})
        if connection is not None:
            connection.stop()


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """WebSockets, with the connection in the scope, and silent about addresses."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.logger = _logger

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope"):  # it was taken
            extensions: Any = self.scope["extensions"]
            extensions[_EXTENSION] = Connection(self.transport.abort)
