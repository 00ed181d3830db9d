"""Tickets: what a browser shows to open a stream, since it can send no header there.

A ticket opens one stream, for the first time within a minute, and then again whenever the browser
comes back, until the log-in that asked for it ends, but for an hour at most.
"""

import hashlib
import re
import secrets
from datetime import datetime, timedelta
from typing import Final

from libs.runtime.auth import Principal
from libs.runtime.clock import Clock
from libs.runtime.db import Database
from services.gateway.domain.text import InvalidRequestError
from services.gateway.handlers.errors import InvalidRequest
from services.gateway.handlers.stream_errors import BadTicket
from services.gateway.store import tickets as store
from services.gateway.store.tickets import Ticket

SECRET_BYTES: Final = 32
FIRST_USE: Final = timedelta(seconds=60)
LIFETIME: Final = timedelta(hours=1)
USER_STREAM: Final = "/api/events"
SOCKET: Final = "/api/ws"
_CHARACTERS_MAX: Final = 100
_UUID: Final = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_STREAM: Final = re.compile(rf"{USER_STREAM}|{SOCKET}|/api/jobs/{_UUID}/events")


class StreamTickets:
    """Gives tickets out, and takes them."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def issue(self, principal: Principal, stream: str | None) -> tuple[str, datetime]:
        """A ticket for a stream, by its path, and until when it opens it.

        Raises:
            InvalidRequest: there is no such stream.
        """
        path = (stream or "").lower()
        if _STREAM.fullmatch(path) is None:
            text = f"stream must be {USER_STREAM}, {SOCKET} or /api/jobs/<job id>/events"
            raise InvalidRequest(InvalidRequestError(text, field="stream"))
        now = self._clock.now()
        ticket = Ticket(
            user_id=principal.user_id,
            session_epoch=principal.session_epoch,
            ends_at=min(now + LIFETIME, principal.expires_at or now + LIFETIME),
        )
        secret = secrets.token_urlsafe(SECRET_BYTES)
        async with self._database.transaction() as transaction:
            await store.add(
                transaction.connection,
                _hashed(secret),
                ticket,
                stream=path,
                use_until=now + FIRST_USE,
                now=now,
            )
        return secret, ticket.ends_at

    async def redeem(self, secret: str, stream: str) -> Principal:
        """Whoever asked for a ticket, at the stream that it is for.

        Raises:
            BadTicket: it was never given out, not for this stream, or its time is over.
        """
        if len(secret) > _CHARACTERS_MAX:
            raise BadTicket
        async with self._database.transaction() as transaction:
            ticket = await store.use(
                transaction.connection, _hashed(secret), stream.lower(), self._clock.now()
            )
        if ticket is None:
            raise BadTicket
        return Principal(
            user_id=ticket.user_id,
            role="USER",
            account_id=ticket.user_id,
            session_epoch=ticket.session_epoch,
            expires_at=ticket.ends_at,
        )


def _hashed(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
