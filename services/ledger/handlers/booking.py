"""Books a batch of inputs in one transaction, under locked accounts."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from msgspec.structs import replace

from libs.events.envelope import Event
from libs.events.identity import AccountErased
from libs.events.names import Service
from libs.events.payload import Payload
from libs.runtime import parked, waiting
from libs.runtime.clock import Clock
from libs.runtime.db import Transaction
from libs.runtime.ids import Ids
from services.ledger import store
from services.ledger.domain.commands import OpenAccount, ReserveCredits, command_of
from services.ledger.domain.decide import account_key, job_key
from services.ledger.domain.fold import Books, Folded, Input, fold
from services.ledger.domain.postings import transaction_of


async def book(
    transaction: Transaction, events: Sequence[Event[Payload]], *, clock: Clock, ids: Ids
) -> None:
    """Decide a batch in order, publish the credits events that follow, and write them down.

    Whoever is erased had no words here: the books stay.
    """
    inputs = [_input(each) for each in events if not isinstance(each.data, AccountErased)]
    folded = await carry_out(transaction, inputs)
    waiters = [(key, each.cause) for key, inputs in folded.books.waiting.items() for each in inputs]
    await waiting.put(transaction, waiters, now=clock.now())
    await parked.park_waiters(
        transaction,
        Service.LEDGER.consumer_group,
        [(ids.new(), each.cause, each.error.code, str(each.error)) for each in folded.refused],
        now=clock.now(),
    )


async def carry_out(transaction: Transaction, inputs: Sequence[Input]) -> Folded:
    """Lock, load, decide, publish and write.

    Raises:
        LedgerError: an input is refused, and nothing of the batch is booked.
    """
    before = await _load(transaction, inputs)
    folded = fold(before, inputs)
    published = [transaction.publish(each.event, cause=each.cause) for each in folded.booked]
    transactions = [transaction_of(event) for event in published]
    await store.record(transaction.connection, before, folded.books, transactions)
    return folded


def _input(event: Event[Payload]) -> Input:
    return Input(cause=event, command=command_of(event.data))


async def _load(transaction: Transaction, inputs: Sequence[Input]) -> Books:
    """The state that the inputs can touch, with what waited for them: nothing does, as a rule."""
    accounts = {each.command.account_id for each in inputs}
    jobs, keys = _job_ids(inputs), _released_keys(inputs)
    books, is_awaited = await store.load(transaction.connection, accounts, jobs, keys)
    if not is_awaited:
        return books
    # The accounts are locked: nothing has begun to wait since, and nothing else can release it.
    taken: dict[str, tuple[Input, ...]] = {}
    for key, event in await waiting.take(transaction, sorted(keys)):
        taken[key] = (*taken.get(key, ()), _input(event))
    jobs |= _job_ids(each for inputs_ in taken.values() for each in inputs_)
    books, _ = await store.load(transaction.connection, accounts, jobs)
    return replace(books, waiting=taken)


def _job_ids(inputs: Iterable[Input]) -> set[UUID]:
    return {each.command.job_id for each in inputs if not isinstance(each.command, OpenAccount)}


def _released_keys(inputs: Iterable[Input]) -> set[str]:
    """Under which something may wait for these inputs."""
    keys: set[str] = set()
    for each in inputs:
        match each.command:
            case OpenAccount(account_id=account_id):
                keys.add(account_key(account_id))
            case ReserveCredits(account_id=account_id, job_id=job_id):
                keys.add(job_key(account_id, job_id))
            case _:
                pass
    return keys
