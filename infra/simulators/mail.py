"""A mail server that delivers nothing: what comes is kept as files, and can be read by HTTP."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any, Final

from aiosmtpd.smtp import SMTP, Envelope, Session
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

KEPT: Final = 500
BYTES_MAX: Final = 10 * 1024 * 1024
BUSY: Final = "451 The mail server is told to be busy"
ACCEPTED: Final = "250 Message accepted"


class MailSink:
    """Takes every mail; the newest are kept."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._numbers = itertools.count(1)
        self.refusals = 0  # of the next mails

    @asynccontextmanager
    async def listening(self, port: int) -> AsyncIterator[int]:
        """Listen on loopback as long as the block lasts; answers the port."""
        self._directory.mkdir(parents=True, exist_ok=True)
        known = [int(each.stem) for each in self._files()]
        self._numbers = itertools.count(max(known, default=0) + 1)
        loop = asyncio.get_running_loop()

        def protocol() -> SMTP:
            return SMTP(self, data_size_limit=BYTES_MAX, hostname="localhost", loop=loop)

        server = await loop.create_server(protocol, "127.0.0.1", port)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()

    async def handle_DATA(  # noqa: N802  # as the library calls it
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        """Keep a mail."""
        if self.refusals > 0:
            self.refusals -= 1
            return BUSY
        name = f"{next(self._numbers):06}.eml"
        draft = self._directory / f".{name}"
        draft.write_bytes(envelope.original_content or b"")
        draft.rename(self._directory / name)
        for old in self._files()[:-KEPT]:
            old.unlink(missing_ok=True)
        return ACCEPTED

    async def show(self, request: Request) -> Response:
        """The mails that came, the newest first; `?to=` those for one address."""
        to = request.query_params.get("to")
        mails = [_shown(each) for each in reversed(self._files())]
        return JSONResponse({"items": [each for each in mails if to in {None, each["to"]}]})

    def _files(self) -> list[Path]:
        return sorted(self._directory.glob("[0-9]*.eml"))


def _shown(file: Path) -> dict[str, Any]:
    message = message_from_bytes(file.read_bytes(), policy=policy.default)
    body = message.get_body(("plain",))
    return {
        "file": str(file),
        "id": str(message["Message-ID"]),
        "from": str(message["From"]),
        "to": str(message["To"]),
        "subject": str(message["Subject"]),
        "text": body.get_content() if body is not None else "",
    }
