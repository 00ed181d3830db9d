"""What administrators order: booked at once, in the transaction that remembers the order."""

import hashlib
from collections.abc import Callable
from uuid import UUID

import msgspec
from msgspec import Struct

from libs.runtime.clock import Clock
from libs.runtime.db import Database
from libs.runtime.errors import BadRequest, Conflict, NotFound, Unprocessable
from libs.runtime.ids import Ids
from libs.runtime.tracing import current_traceparent
from services.ledger.domain.commands import KeyedCommand, ReverseTransaction
from services.ledger.domain.errors import (
    AlreadyReversedError,
    LedgerError,
    NotReversibleError,
)
from services.ledger.domain.fold import Input
from services.ledger.domain.ids import order_id
from services.ledger.handlers.booking import carry_out
from services.ledger.store import orders as store


class AccountNotFound(NotFound):
    code = "account_not_found"

    def __init__(self) -> None:
        super().__init__("There is no such account in the ledger")


class OrderKeyReused(Unprocessable):
    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__(
            "This Idempotency-Key was used for another order: send a new key with new content"
        )


class AlreadyReversed(Conflict):
    code = "ledger_already_reversed"


class NotReversible(Unprocessable):
    code = "ledger_not_reversible"


class OrderRefused(BadRequest):
    code = "ledger_invalid_input"


class Order(Struct, frozen=True, kw_only=True):
    """Something to book on an account.

    `command` makes it from the id of its transaction, which is the same for a repeat.
    """

    account_id: UUID
    actor: UUID
    key: str | None
    content: object  # what a repeat under the same key must say again
    command: Callable[[UUID], KeyedCommand]


class Done(Struct, frozen=True, kw_only=True):
    """What an order has led to."""

    account_id: UUID
    account_version: int
    transaction_id: UUID


class Orders:
    """Carries orders out, each once."""

    def __init__(self, database: Database, clock: Clock, ids: Ids) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids

    async def carry_out(self, order: Order) -> Done:
        """Book an order, or say what the same order has led to before.

        Raises:
            AccountNotFound, OrderKeyReused, AlreadyReversed, NotReversible, OrderRefused: nothing
                was booked.
        """
        key = order.key or str(self._ids.new())
        given = order_id(order.actor, key)
        fingerprint = _fingerprint(order)
        async with self._database.transaction() as transaction:
            connection = transaction.connection
            claim = store.Claim(given, fingerprint, order.account_id, self._clock.now())
            if not await store.claim_order(connection, claim):
                earlier = await store.find_order(connection, given)
                if earlier.fingerprint != fingerprint:
                    raise OrderKeyReused
                return Done(
                    account_id=order.account_id,
                    account_version=earlier.account_version,
                    transaction_id=earlier.transaction_id,
                )
            if not await store.lock_account(connection, order.account_id):
                raise AccountNotFound
            command = order.command(given)
            posted = None
            if isinstance(command, ReverseTransaction):
                posted = await store.find_posted(connection, order.account_id, command.reverses)
            try:
                folded = await carry_out(
                    transaction,
                    [Input(None, command)],
                    {} if posted is None else {posted.transaction_id: posted},
                    traceparent=current_traceparent(),
                )
            except LedgerError as error:
                raise _refusal(error) from error
            if folded.booked:
                (booked,) = folded.booked
                version, booked_id = booked.event.account_version, booked.event.transaction_id
            else:  # the books came back from Kafka without the orders: this one is in them
                version = await store.find_booked(connection, order.account_id, given)
                booked_id = given
            await store.complete_order(connection, given, version, booked_id)
        return Done(account_id=order.account_id, account_version=version, transaction_id=booked_id)


def _fingerprint(order: Order) -> bytes:
    return hashlib.sha256(msgspec.json.encode((order.account_id, order.content))).digest()


def _refusal(error: LedgerError) -> Exception:
    match error:
        case AlreadyReversedError():
            return AlreadyReversed(str(error))
        case NotReversibleError():
            return NotReversible(str(error))
        case _:
            return OrderRefused(str(error))
