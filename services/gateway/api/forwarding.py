"""Routes whose answers other services own: authenticated here, answered there, passed through."""

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from msgspec import Struct
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from libs.events.names import Service
from libs.runtime.auth import FindPrincipal, InternalTokens, Principal
from libs.runtime.tracing import current_traceparent
from services.gateway.api.callers import Callers
from services.gateway.handlers.errors import OwnerUnavailable
from services.gateway.ports import OwnerAnswer, OwnerCall, Owners, OwnerUnreachableError

_REQUEST_HEADERS: Final = (
    "accept",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "range",
)
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_BODY_HEADERS: Final = ("content-type", "content-length")
_ANSWER_HEADERS: Final = (
    "accept-ranges",
    "access-control-expose-headers",
    "cache-control",
    "cdn-cache-control",
    "content-disposition",
    "content-length",
    "content-range",
    "content-security-policy",
    "content-type",
    "etag",
    "last-modified",
    "link",
    "retry-after",
    "www-authenticate",
    "x-content-type-options",
)


class Forwarded(Struct, frozen=True):
    """A public address and the service that answers it."""

    path: str
    owner: Service
    summary: str
    method: str = "GET"
    is_public: bool = False  # whoever asks; the owner learns of no caller
    is_open: bool = False  # also to those without a log-in; of others the owner learns


OWNED: Final = (
    # In the order in which they are tried: what stands for any id comes last.
    Forwarded("/api/r2files", Service.GALLERY, "The caller's pictures, newest first."),
    Forwarded("/api/r2files/public", Service.GALLERY, "Everybody's public pictures.", is_open=True),
    Forwarded(
        "/api/r2files/public/top-creators",
        Service.GALLERY,
        "Whose public pictures are liked most.",
        is_open=True,
    ),
    Forwarded(
        "/api/r2files/public/user/{user_id}",
        Service.GALLERY,
        "One person's public pictures.",
        is_open=True,
    ),
    Forwarded(
        "/api/r2files/public/{item_id}", Service.GALLERY, "One public picture.", is_open=True
    ),
    Forwarded("/api/r2files/proxy", Service.GALLERY, "An asset by its whole address."),
    Forwarded("/api/r2files/by-url", Service.GALLERY, "Change a picture by its address.", "PATCH"),
    Forwarded("/api/r2files/by-url", Service.GALLERY, "Delete a picture by its address.", "DELETE"),
    Forwarded("/api/r2files/{item_id}", Service.GALLERY, "Change an own picture.", "PATCH"),
    Forwarded("/api/r2files/{item_id}", Service.GALLERY, "Delete an own picture.", "DELETE"),
    Forwarded("/api/r2files/{item_id}/toggle-like", Service.GALLERY, "Like, or no longer.", "POST"),
    Forwarded("/api/upload/presigned", Service.GALLERY, "An address for one upload.", "POST"),
    Forwarded(
        "/api/upload/put/{token}", Service.GALLERY, "The upload itself.", "PUT", is_open=True
    ),
    Forwarded("/api/upload/base64", Service.GALLERY, "Upload a picture as base64.", "POST"),
    Forwarded("/api/upload/file", Service.GALLERY, "Upload a picture as a form's file.", "POST"),
    Forwarded(
        "/api/upload/profile-picture/upload",
        Service.GALLERY,
        "Upload a picture of oneself.",
        "POST",
    ),
    Forwarded(
        "/api/upload/migrate-base64-batch",
        Service.GALLERY,
        "Upload what a browser has kept.",
        "POST",
    ),
    Forwarded("/api/usage/mine", Service.BILLING, "The caller's finished jobs."),
    Forwarded("/api/usage/events", Service.BILLING, "Everybody's finished jobs, for admins."),
    Forwarded("/api/usage/events/export", Service.BILLING, "The same as a file, CSV or JSON."),
    Forwarded(
        "/api/admin/reconciliation/bills",
        Service.BILLING,
        "Compare a provider's bill with our attempts, for admins.",
        "POST",
    ),
    Forwarded("/api/admin/reconciliation/bills", Service.BILLING, "Imported bills, for admins."),
    Forwarded(
        "/api/admin/reconciliation/bills/{bill_id}/entries",
        Service.BILLING,
        "What a bill's lines were found to be, for admins.",
    ),
    Forwarded(
        "/api/admin/reconciliation/drift",
        Service.BILLING,
        "What providers billed against what was recorded, for admins.",
    ),
    Forwarded("/api/credits/balance", Service.LEDGER, "The caller's credits, lot by lot."),
    Forwarded("/api/credits/transactions", Service.LEDGER, "The caller's bookings."),
    Forwarded("/api/jobs/{job_id}/why", Service.LEDGER, "A job of the caller, in words."),
    Forwarded("/api/jobs/{job_id}/trail", Service.LEDGER, "Its events."),
    Forwarded("/api/admin/events", Service.LEDGER, "Events of all services, for admins."),
    Forwarded("/api/admin/why", Service.LEDGER, "What happened, in words, for admins."),
    Forwarded("/api/jobs/{job_id}/receipt", Service.LEDGER, "A finished job's signed receipt."),
    Forwarded("/api/log/checkpoint", Service.LEDGER, "The log's signed state.", is_public=True),
    Forwarded(
        "/api/log/proof/inclusion/{position}",
        Service.LEDGER,
        "That a booking is in the log.",
        is_public=True,
    ),
    Forwarded(
        "/api/log/proof/consistency/{old}",
        Service.LEDGER,
        "That the log begins with what it was.",
        is_public=True,
    ),
    Forwarded(
        "/.well-known/daygen-keys.json",
        Service.LEDGER,
        "The keys that verify receipts and checkpoints.",
        is_public=True,
    ),
)


def create_router(owners: Owners, tokens: InternalTokens, callers: Callers) -> APIRouter:
    """All forwarded routes."""
    router = APIRouter()
    for route in OWNED:
        router.add_api_route(
            route.path,
            _passing_publicly(owners, route.owner)
            if route.is_public
            else _passing_on(
                owners, tokens, callers.maybe if route.is_open else callers.known, route
            ),
            methods=[route.method],
            name=f"{route.owner.value}:{route.method}:{route.path}",
            summary=route.summary,
            tags=[route.owner.value],
            response_class=StreamingResponse,
        )

    @router.head("/assets/{key:path}", include_in_schema=False)
    @router.get("/assets/{key:path}", tags=["gallery"], response_class=StreamingResponse)
    async def read_asset(
        request: Request,
        key: str,  # noqa: ARG001  # for the documentation alone
    ) -> StreamingResponse:
        """A picture. Its address is all that is needed: browsers send no token for an image."""
        return await forward(owners, Service.GALLERY, request, {})

    return router


def _passing_on(
    owners: Owners, tokens: InternalTokens, who: FindPrincipal, route: Forwarded
) -> Callable[..., Awaitable[StreamingResponse]]:
    async def pass_on(
        request: Request, caller: Annotated[Principal | None, Depends(who)]
    ) -> StreamingResponse:
        credentials = {}
        if caller is not None:
            credentials["authorization"] = f"Bearer {tokens.issue(caller, route.owner)}"
        body = None
        if route.method in _WITH_BODY and _has_body(request):
            credentials |= {
                name: request.headers[name] for name in _BODY_HEADERS if name in request.headers
            }
            body = request.stream()
        return await forward(owners, route.owner, request, credentials, body=body)

    return pass_on


def _passing_publicly(
    owners: Owners, owner: Service
) -> Callable[..., Awaitable[StreamingResponse]]:
    async def pass_on(request: Request) -> StreamingResponse:
        return await forward(owners, owner, request, {})

    return pass_on


def _has_body(request: Request) -> bool:
    """Whether something follows the head: the bodies of others are not awaited."""
    headers = request.headers
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


async def forward(
    owners: Owners,
    owner: Service,
    request: Request,
    credentials: dict[str, str],
    *,
    path: str | None = None,
    body: bytes | AsyncIterable[bytes] | None = None,
) -> StreamingResponse:
    """Pass a request on, to the same path or another, and the answer back.

    Raises:
        OwnerUnavailable: there is none.
    """
    query = request.scope["query_string"].decode("ascii", "replace")
    target = path or request.scope["raw_path"].decode("ascii", "replace")
    target += f"?{query}" if query else ""
    kept = {name: request.headers[name] for name in _REQUEST_HEADERS if name in request.headers}
    headers = {
        **kept,
        **credentials,
        "accept-encoding": "identity",
        "x-request-id": request.state.request_id,
    }
    if traceparent := current_traceparent():
        headers["traceparent"] = traceparent
    faults: list[Exception] = []
    sent = body if body is None or isinstance(body, bytes) else _watched(body, faults)
    call = OwnerCall(owner=owner, method=request.method, target=target, headers=headers, body=sent)
    stack = AsyncExitStack()
    try:
        answer = await stack.enter_async_context(owners.call(call))
    except OwnerUnreachableError as error:
        if faults:  # it was the caller's own body that ended: too large, or they have left
            raise faults[0] from None
        raise OwnerUnavailable(error.owner) from error
    return _Passed(answer, stack)


async def _watched(body: AsyncIterable[bytes], faults: list[Exception]) -> AsyncIterator[bytes]:
    """The same stream; what it raises is kept, as the client behind it tells another story."""
    try:
        async for chunk in body:
            yield chunk
    except Exception as error:
        faults.append(error)
        raise


class _Passed(StreamingResponse):
    """An owner's answer on its way to the client; the connection behind it ends with it."""

    def __init__(self, answer: OwnerAnswer, connection: AsyncExitStack) -> None:
        headers = {name: answer.headers[name] for name in _ANSWER_HEADERS if name in answer.headers}
        super().__init__(_body(answer), status_code=answer.status, headers=headers)
        self._connection = connection

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._connection:
            await super().__call__(scope, receive, send)


async def _body(answer: OwnerAnswer) -> AsyncIterator[bytes]:
    async for chunk in answer.chunks():
        yield chunk
