"""Generation's HTTP routes: its dead letters, for administrators, and what providers tell.

All else it does over events.
"""

from typing import Annotated

from fastapi import APIRouter, Header, Request

from libs.runtime import deadletters_http
from libs.runtime.auth import RequirePrincipal
from libs.runtime.deadletters import DeadLetters
from libs.runtime.errors import PayloadTooLarge
from services.generation.handlers.webhooks import Webhooks

SIGNATURE = "X-BFL-Signature"
WEBHOOK_BYTES_MAX = 1_000_000


def create_router(
    letters: DeadLetters, authenticate: RequirePrincipal, webhooks: Webhooks
) -> APIRouter:
    """The routes of `/internal/parked` and `/internal/webhooks`."""
    router = APIRouter()
    router.include_router(deadletters_http.create_router(letters, authenticate))

    @router.post("/internal/webhooks/{provider}")
    async def webhook(
        provider: str, request: Request, signature: Annotated[str, Header(alias=SIGNATURE)] = ""
    ) -> dict[str, str | bool]:
        """A provider's call, as it came. Its signature is all the log-in that it has."""
        body = await _read(request)
        return {"ok": True, "id": await webhooks.receive(provider, body, signature)}

    return router


async def _read(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > WEBHOOK_BYTES_MAX:
            raise PayloadTooLarge(f"A call may take at most {WEBHOOK_BYTES_MAX} bytes.")
    return bytes(body)
