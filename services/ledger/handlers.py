"""The use case of the ledger: book a batch of inputs in one transaction, under locked accounts."""

from collections.abc import Iterable, Sequence
from itertools import chain
from uuid import UUID

from msgspec.structs import replace

from libs.events.envelope import Event
from libs.events.payload import Payload
from libs.runtime import waiting
from libs.runtime.clock import Clock
from libs.runtime.db import Transaction
from services.ledger import store
from services.ledger.domain.account import Account, ReservationState, in_burn_order
from services.ledger.domain.commands import OpenAccount, ReserveCredits, command_of
from services.ledger.domain.decide import account_key, job_key
from services.ledger.domain.fold import Books, Input, fold
from services.ledger.domain.postings import transaction_of


async def book(transaction: Transaction, events: Sequence[Event[Payload]], *, clock: Clock) -> None:
    """Decide a batch in order, publish the credits events that follow, and write them down."""
    inputs = [_input(event) for event in events]
    accounts = await store.lock_accounts(
        transaction.connection, {each.command.account_id for each in inputs}
    )
    taken = await _take_waiting(transaction, accounts, inputs)
    before = await _load(transaction, accounts, inputs, taken)
    after, booked = fold(before, inputs)
    published = [transaction.publish(each.event, cause=each.cause) for each in booked]
    transactions = [transaction_of(event) for event in published]
    await store.record(transaction.connection, before, after, transactions)
    waiters = [(key, each.cause) for key, waiting_ in after.waiting.items() for each in waiting_]
    await waiting.put(transaction, waiters, now=clock.now())


def _input(event: Event[Payload]) -> Input:
    return Input(cause=event, command=command_of(event.data))


async def _take_waiting(
    transaction: Transaction, accounts: dict[UUID, Account], inputs: Sequence[Input]
) -> dict[str, tuple[Input, ...]]:
    """What these inputs may release. Its accounts are locked, so nothing can begin to wait now."""
    keys: set[str] = set()
    for each in inputs:
        match each.command:
            case OpenAccount(account_id=account_id):
                if not accounts[account_id].is_open:
                    keys.add(account_key(account_id))
            case ReserveCredits(account_id=account_id, job_id=job_id):
                keys.add(job_key(account_id, job_id))
            case _:
                pass
    taken: dict[str, tuple[Input, ...]] = {}
    for key, event in await waiting.take(transaction, sorted(keys)):
        taken[key] = (*taken.get(key, ()), _input(event))
    return taken


async def _load(
    transaction: Transaction,
    accounts: dict[UUID, Account],
    inputs: Sequence[Input],
    taken: dict[str, tuple[Input, ...]],
) -> Books:
    """The state that the inputs can touch."""
    connection = transaction.connection
    jobs = _job_ids(chain(inputs, *taken.values()))
    reservations = await store.load_reservations(connection, jobs)
    reserved_lots = {
        amount.lot_id
        for each in reservations.values()
        if each.state is ReservationState.RESERVED
        for amount in each.lots
        if amount.lot_id is not None
    }
    lots = await store.load_lots(connection, accounts, reserved_lots)
    with_lots = {
        account_id: replace(account, lots=in_burn_order(lots.get(account_id, ())))
        for account_id, account in accounts.items()
    }
    return Books(with_lots, reservations, taken)


def _job_ids(inputs: Iterable[Input]) -> set[UUID]:
    return {each.command.job_id for each in inputs if not isinstance(each.command, OpenAccount)}
