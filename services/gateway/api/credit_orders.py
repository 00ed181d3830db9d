"""What administrators order of credits: passed on to the ledger, or held here and booked there.

An order is answered 200 once this gateway offers what it has led to, and 202 after five seconds:
then it is booked, or will be, and the answer says under which version or id.
"""

from typing import Annotated, Final
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Header, Request, Response
from msgspec import Struct
from pydantic import Field

from libs.events.names import Service
from libs.runtime.auth import InternalTokens, Principal, require_admin
from libs.runtime.http import JsonResponse
from libs.runtime.http.bodies import Body, Reason, StrictBody
from libs.runtime.tracing import current_traceparent
from services.gateway.api.callers import Callers
from services.gateway.handlers.copies import Copies
from services.gateway.handlers.deductions import Asked, Deductions
from services.gateway.handlers.errors import OwnerUnavailable
from services.gateway.ports import OwnerCall, Owners, OwnerUnreachableError
from services.gateway.store.deductions import Deduction

ACCOUNTS: Final = "/api/admin/accounts/{account_id}"
DEDUCTIONS: Final = "/api/admin/deductions"
ORDERS: Final = (
    ("POST", "grants", "Give credits."),
    ("POST", "adjustments", "Correct a balance, below zero too."),
    ("POST", "forfeits", "End the subscription wallet before its time."),
    ("POST", "reversals", "Answer a transaction by its opposite, once."),
    ("PUT", "grace", "Set the overdraft limit."),
)
CREDITS_MAX: Final = 2**53 - 1
KEY_CHARS_MAX: Final = 255

Key = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=KEY_CHARS_MAX)]


class Ledger(Struct, frozen=True, kw_only=True):
    """How the ledger is asked, and what its answer leads to here."""

    owners: Owners
    tokens: InternalTokens
    copies: Copies


class Booked(Struct, frozen=True):
    """What of the ledger's answer matters here."""

    accountId: UUID  # noqa: N815  # as it stands on the wire
    accountVersion: int  # noqa: N815


class DeductionRequest(StrictBody):
    """Credits that are to be taken, if they are there."""

    credits: Annotated[int, Field(strict=True, ge=1, le=CREDITS_MAX)]
    reason: Reason


class DeductionBody(Body):
    """A deduction: `held` until the ledger has `booked` it."""

    deduction_id: UUID
    account_id: UUID
    credits: int
    status: str


def create_router(ledger: Ledger, deductions: Deductions, callers: Callers) -> APIRouter:
    """The routes of accounts and deductions, for administrators."""
    router = APIRouter(tags=["credits"])
    Admin = Annotated[Principal, Depends(require_admin(callers.person))]  # noqa: N806  # a type

    async def pass_on(account_id: UUID, request: Request, admin: Admin) -> Response:
        return await _order(ledger, account_id, request, admin)

    for method, name, summary in ORDERS:
        router.add_api_route(
            f"{ACCOUNTS}/{name}", pass_on, methods=[method], name=name, summary=summary
        )

    @router.post(f"{ACCOUNTS}/deductions", response_model=DeductionBody)
    async def deduct(
        account_id: UUID, body: DeductionRequest, admin: Admin, key: Key = None
    ) -> Response:
        """Take credits that are there: 402 if they are not."""
        asked = Asked(
            account_id=account_id,
            credits=body.credits,
            reason=body.reason,
            actor=admin.user_id,
            key=key,
        )
        deduction_id = await deductions.submit(asked)
        deduction = await deductions.booked(deduction_id, account_id)
        status = 202 if deduction.closed_at is None else 200
        return JsonResponse(_body(deduction), status, {"Location": f"{DEDUCTIONS}/{deduction_id}"})

    @router.get(f"{DEDUCTIONS}/{{deduction_id}}", response_model=DeductionBody)
    async def read_deduction(deduction_id: UUID, _: Admin) -> Response:
        """A deduction as it is now."""
        return JsonResponse(_body(await deductions.find(deduction_id)))

    return router


def _body(deduction: Deduction) -> DeductionBody:
    return DeductionBody(
        deduction_id=deduction.deduction_id,
        account_id=deduction.account_id,
        credits=deduction.credits,
        status="held" if deduction.closed_at is None else "booked",
    )


async def _order(ledger: Ledger, account_id: UUID, request: Request, admin: Principal) -> Response:
    """Pass an order on, and answer when its account's copy has caught up with it."""
    headers = {
        "authorization": f"Bearer {ledger.tokens.issue(admin, Service.LEDGER)}",
        "content-type": request.headers.get("content-type", "application/json"),
        "x-request-id": request.state.request_id,
    }
    if key := request.headers.get("idempotency-key"):
        headers["idempotency-key"] = key
    if traceparent := current_traceparent():
        headers["traceparent"] = traceparent
    call = OwnerCall(
        owner=Service.LEDGER,
        method=request.method,
        target=request.scope["raw_path"].decode("ascii", "replace"),
        headers=headers,
        body=await request.body(),
    )
    try:
        async with ledger.owners.call(call) as answer:
            body = b"".join([chunk async for chunk in answer.chunks()])
            status, kind = answer.status, answer.headers.get("content-type")
    except OwnerUnreachableError as error:
        raise OwnerUnavailable(error.owner) from error
    if status == 200:
        booked = msgspec.json.decode(body, type=Booked)
        if not await ledger.copies.has_reached(account_id, booked.accountVersion):
            status = 202
    return Response(body, status, media_type=kind)
