"""What administrators order: grants, adjustments, forfeits, reversals, overdraft limits."""

from abc import ABC, abstractmethod
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Header
from msgspec import Struct
from msgspec.structs import asdict
from pydantic import AwareDatetime, Field, field_validator

from libs.events.credits import Wallet
from libs.runtime.auth import Principal, RequirePrincipal, require_admin
from libs.runtime.clock import Clock
from libs.runtime.errors import BadRequest
from libs.runtime.http.bodies import Body, Reason, StrictBody
from services.ledger.domain.commands import (
    CREDITS_MAX,
    DebitCredits,
    ForfeitSubscription,
    GrantCredits,
    KeyedCommand,
    ReverseTransaction,
    SetGrace,
)
from services.ledger.domain.ids import reversal_id
from services.ledger.handlers.orders import Order, Orders

PREFIX = "/api/admin/accounts/{account_id}"
GRANT, ADJUSTMENT = "administrator", "adjustment"
PRIORITY_MAX = 1_000
KEY_CHARS_MAX = 255

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=KEY_CHARS_MAX,
        description="A repeat under the same key books nothing more.",
    ),
]
Credits = Annotated[int, Field(strict=True, ge=1, le=CREDITS_MAX)]


class EndsInThePast(BadRequest):
    code = "ledger_invalid_input"

    def __init__(self) -> None:
        super().__init__("expiresAt has passed: give a time to come, or none.")


class TopUpEnds(BadRequest):
    code = "ledger_invalid_input"

    def __init__(self) -> None:
        super().__init__("A top-up never ends: leave expiresAt out, or grant to the promo wallet.")


class Ordered(Struct, frozen=True):
    """What an order has in common with all others."""

    transaction_id: UUID  # unless something else says under which id it is booked once
    account_id: UUID
    actor: UUID
    at: datetime


class OrderBody(StrictBody, ABC):
    """Every order tells why."""

    reason: Reason

    @abstractmethod
    def command(self, ordered: Ordered) -> KeyedCommand:
        """What the ledger is to do."""


class GrantBody(OrderBody):
    """Credits that are given."""

    credits: Credits
    wallet: Literal[Wallet.PROMO, Wallet.TOPUP] = Wallet.PROMO
    expires_at: AwareDatetime | None = None
    priority: Annotated[int, Field(strict=True, ge=-PRIORITY_MAX, le=PRIORITY_MAX)] = 0

    def command(self, ordered: Ordered) -> KeyedCommand:
        if self.expires_at is not None and self.expires_at <= ordered.at:
            raise EndsInThePast
        if self.expires_at is not None and self.wallet is Wallet.TOPUP:
            raise TopUpEnds
        return GrantCredits(
            transaction_id=ordered.transaction_id,
            account_id=ordered.account_id,
            credits=self.credits,
            wallet=self.wallet,
            source=GRANT,
            reference="",
            at=ordered.at,
            expires_at=self.expires_at,
            priority=self.priority,
            actor=ordered.actor,
            reason=self.reason,
        )


class AdjustmentBody(OrderBody):
    """A correction: credits that are given, or below zero taken whatever is left."""

    credits: Annotated[int, Field(strict=True, ge=-CREDITS_MAX, le=CREDITS_MAX)]

    @field_validator("credits")
    @classmethod
    def _is_something(cls, amount: int) -> int:
        if amount == 0:
            raise ValueError("credits must not be 0.")
        return amount

    def command(self, ordered: Ordered) -> KeyedCommand:
        if self.credits < 0:
            return DebitCredits(
                transaction_id=ordered.transaction_id,
                account_id=ordered.account_id,
                credits=-self.credits,
                source=ADJUSTMENT,
                reference="",
                at=ordered.at,
                actor=ordered.actor,
                reason=self.reason,
            )
        return GrantCredits(
            transaction_id=ordered.transaction_id,
            account_id=ordered.account_id,
            credits=self.credits,
            wallet=Wallet.TOPUP,
            source=ADJUSTMENT,
            reference="",
            at=ordered.at,
            actor=ordered.actor,
            reason=self.reason,
        )


class ForfeitBody(OrderBody):
    """What is left of the subscription wallet ends."""

    def command(self, ordered: Ordered) -> KeyedCommand:
        return ForfeitSubscription(
            transaction_id=ordered.transaction_id,
            account_id=ordered.account_id,
            at=ordered.at,
            actor=ordered.actor,
            reason=self.reason,
        )


class ReversalBody(OrderBody):
    """A transaction that is answered by its opposite."""

    transaction_id: UUID

    def command(self, ordered: Ordered) -> KeyedCommand:
        return ReverseTransaction(
            transaction_id=reversal_id(self.transaction_id),
            account_id=ordered.account_id,
            reverses=self.transaction_id,
            at=ordered.at,
            actor=ordered.actor,
            reason=self.reason,
        )


class GraceBody(OrderBody):
    """How far an account may be overdrawn."""

    grace: Annotated[int, Field(strict=True, ge=0, le=CREDITS_MAX)]

    def command(self, ordered: Ordered) -> KeyedCommand:
        return SetGrace(
            transaction_id=ordered.transaction_id,
            account_id=ordered.account_id,
            grace=self.grace,
            actor=ordered.actor,
            reason=self.reason,
        )


class DoneBody(Body):
    """What was booked: the gateway offers it once its copy has reached this version."""

    account_id: UUID
    account_version: int
    transaction_id: UUID


def create_router(orders: Orders, clock: Clock, authenticate: RequirePrincipal) -> APIRouter:
    """The routes below an account, for administrators."""
    router = APIRouter(prefix=PREFIX, tags=["credits"])
    Admin = Annotated[Principal, Depends(require_admin(authenticate))]  # noqa: N806  # a type

    async def carry_out(
        admin: Principal, account_id: UUID, key: str | None, body: OrderBody
    ) -> DoneBody:
        now = clock.now()
        order = Order(
            account_id=account_id,
            actor=admin.user_id,
            key=key,
            content=(type(body).__name__, body.model_dump(mode="json")),
            command=lambda given: body.command(Ordered(given, account_id, admin.user_id, now)),
        )
        return DoneBody(**asdict(await orders.carry_out(order)))

    @router.post("/grants")
    async def grant(
        account_id: UUID, body: GrantBody, admin: Admin, key: IdempotencyKey = None
    ) -> DoneBody:
        """Give credits."""
        return await carry_out(admin, account_id, key, body)

    @router.post("/adjustments")
    async def adjust(
        account_id: UUID, body: AdjustmentBody, admin: Admin, key: IdempotencyKey = None
    ) -> DoneBody:
        """Correct a balance: below zero it may leave debt; a deduction never does."""
        return await carry_out(admin, account_id, key, body)

    @router.post("/forfeits")
    async def forfeit(
        account_id: UUID, body: ForfeitBody, admin: Admin, key: IdempotencyKey = None
    ) -> DoneBody:
        """End the subscription wallet before its time."""
        return await carry_out(admin, account_id, key, body)

    @router.post("/reversals")
    async def reverse(
        account_id: UUID, body: ReversalBody, admin: Admin, key: IdempotencyKey = None
    ) -> DoneBody:
        """Answer a transaction by its opposite, once."""
        return await carry_out(admin, account_id, key, body)

    @router.put("/grace")
    async def set_grace(
        account_id: UUID, body: GraceBody, admin: Admin, key: IdempotencyKey = None
    ) -> DoneBody:
        """Set the overdraft limit."""
        return await carry_out(admin, account_id, key, body)

    return router
