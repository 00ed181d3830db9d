"""Price books for administrators, and quotes for everybody."""

from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response, status
from pydantic import AwareDatetime

from libs.runtime.auth import Principal, require_admin
from libs.runtime.http.bodies import Body
from services.gateway.api.bodies import JobRequest
from services.gateway.api.callers import Callers
from services.gateway.api.generations import Desk
from services.gateway.api.rate_limits import headers_of
from services.gateway.domain.limits import Allowance, Kind
from services.gateway.handlers.generations import Quote
from services.gateway.handlers.prices import PriceBooks
from services.gateway.store.prices import StoredBook

VERSION_MAX: Final = 2**63 - 1
_FILE: Final[dict[str, Any]] = {
    "requestBody": {
        "description": "The book's file, byte by byte: its hash is kept.",
        "required": True,
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
}


class PriceBookLine(Body):
    """A version, without its figures."""

    version: int
    name: str | None
    sha256: str
    effective_from: datetime
    is_in_force: bool


class PriceBookBody(PriceBookLine):
    """A version with its figures, and its file as it was added."""

    book: dict[str, Any]
    body: str


class PriceBookLines(Body):
    items: list[PriceBookLine]


class LeftBody(Body):
    """What a limit leaves."""

    limit: str
    measure: str
    left: int


class RefusalBody(Body):
    """Why it would not be admitted."""

    code: str
    message: str


class QuoteBody(Body):
    """What a request would cost now, and by which rule of which price book."""

    credits: int
    unit_credits: int
    units: int
    price_book_version: int
    rule: str
    would_be_admitted: bool
    refusal: RefusalBody | None
    available_credits: int
    estimated_tokens: int
    limits: list[LeftBody]


def create_router(books: PriceBooks, desk: Desk, callers: Callers) -> APIRouter:
    """The routes of prices."""
    router = APIRouter(tags=["prices"])
    Admin = Annotated[Principal, Depends(require_admin(callers.known))]  # noqa: N806  # a type
    Caller = Annotated[Principal, Depends(callers.costing)]  # noqa: N806  # a type

    @router.post("/api/admin/price-books", status_code=status.HTTP_201_CREATED, openapi_extra=_FILE)
    async def add_price_book(
        request: Request,
        response: Response,
        admin: Admin,
        effective_from: Annotated[AwareDatetime | None, Query(alias="effectiveFrom")] = None,
    ) -> PriceBookBody:
        """Add prices, in force from an instant to come, or at once."""
        added, is_new = await books.add(
            await request.body(), effective_from=effective_from, actor=admin.user_id
        )
        if not is_new:
            response.status_code = status.HTTP_200_OK
        return _whole(added)

    @router.get("/api/admin/price-books")
    async def list_price_books(_admin: Admin) -> PriceBookLines:
        """Every version, the oldest first."""
        return PriceBookLines(items=[_line(each) for each in await books.all()])

    @router.get("/api/admin/price-books/{version}")
    async def show_price_book(version: int, _admin: Admin) -> PriceBookBody:
        """One version with its figures."""
        return _whole(await books.get(min(max(version, 0), VERSION_MAX)))

    @router.post("/api/quote")
    async def quote(caller: Caller, body: JobRequest, response: Response) -> QuoteBody:
        """What a request would cost and whether it would be admitted. It changes nothing."""
        found = await desk.quote(caller, body)
        response.headers.update(headers_of(found.allowances, found.at))
        return _quote(found)

    return router


def _line(stored: StoredBook) -> PriceBookLine:
    return PriceBookLine(**_fields(stored))


def _whole(stored: StoredBook) -> PriceBookBody:
    book = msgspec.json.decode(stored.body)
    return PriceBookBody(**_fields(stored), book=book, body=stored.body)


def _fields(stored: StoredBook) -> dict[str, Any]:
    return {
        "version": stored.version,
        "name": stored.book.name,
        "sha256": stored.sha256,
        "effective_from": stored.effective_from,
        "is_in_force": stored.is_in_force,
    }


def _quote(found: Quote) -> QuoteBody:
    offer, refusal = found.offer, found.refusal
    return QuoteBody(
        credits=offer.credits,
        unit_credits=offer.unit_credits,
        units=offer.units,
        price_book_version=offer.book_version,
        rule=offer.rule,
        would_be_admitted=refusal is None,
        refusal=RefusalBody(code=refusal.code, message=refusal.message) if refusal else None,
        available_credits=max(0, found.available),
        estimated_tokens=offer.tokens,
        limits=[left for each in found.allowances for left in _left(each, found.at)],
    )


def _left(allowance: Allowance, now: datetime) -> list[LeftBody]:
    if allowance.subject.kind is Kind.PROVIDER:
        return []
    kind = allowance.subject.kind.value
    return [
        LeftBody(limit=kind, measure=each.value, left=allowance.remaining(each, now))
        for each in allowance.policy.measures
    ]
