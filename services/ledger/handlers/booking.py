"""Books a batch of inputs in one transaction, under locked accounts."""

from collections.abc import Iterable, Mapping, Sequence
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
from services.ledger.domain.account import Account
from services.ledger.domain.commands import (
    DeductCredits,
    OpenAccount,
    ReserveCredits,
    ReverseTransaction,
    command_of,
    is_about_job,
    is_keyed,
)
from services.ledger.domain.corrections import Past
from services.ledger.domain.decide import account_key, job_key
from services.ledger.domain.fold import Books, Folded, Input, fold
from services.ledger.domain.lots import EVER, NEVER
from services.ledger.domain.notices import notice_of
from services.ledger.domain.posted import Posted
from services.ledger.domain.postings import transaction_of

EXPIRY_CHANNEL = "expiry"


async def book(
    transaction: Transaction, events: Sequence[Event[Payload]], *, clock: Clock, ids: Ids
) -> None:
    """Decide a batch in order, publish the credits events that follow, and write them down.

    Whoever is erased had no words here: the books stay.
    """
    inputs = [_input(each) for each in events if not isinstance(each.data, AccountErased)]
    folded = await carry_out(transaction, inputs)
    waiters = [
        (key, each.cause)
        for key, waiting_inputs in folded.books.waiting.items()
        for each in waiting_inputs
        if each.cause is not None
    ]
    await waiting.put(transaction, waiters, now=clock.now())
    await parked.park_waiters(
        transaction,
        Service.LEDGER.consumer_group,
        [
            (ids.new(), each.cause, each.error.code, str(each.error))
            for each in folded.refused
            if each.cause is not None
        ],
        now=clock.now(),
    )


async def carry_out(
    transaction: Transaction,
    inputs: Sequence[Input],
    posted: Mapping[UUID, Posted] | None = None,
    *,
    traceparent: str | None = None,
) -> Folded:
    """Lock, load, decide, publish and write. `posted` is what the inputs reverse.

    Raises:
        LedgerError: an input is refused, and nothing of the batch is booked.
    """
    before = await _load(transaction, inputs)
    if posted:
        before = replace(before, past=Past(before.past.known, posted))
    folded = fold(before, inputs)
    published = [
        transaction.publish(
            each.event, cause=each.cause, traceparent=None if each.cause else traceparent
        )
        for each in folded.booked
    ]
    for event in published:
        if notice := notice_of(event.data):
            transaction.publish(notice, cause=event)
    transactions = [transaction_of(event) for event in published]
    await store.record(transaction.connection, before, folded.books, transactions)
    if _will_end_sooner(before.accounts, folded.books.accounts):
        transaction.wake(EXPIRY_CHANNEL)
    return folded


def _will_end_sooner(before: Mapping[UUID, Account], after: Mapping[UUID, Account]) -> bool:
    """Whether there is a lot to end that was not there before."""
    for account_id, account in after.items():
        ending = {lot.lot_id for lot in account.lots if lot.expires_at and lot.remaining}
        if not ending:
            continue
        was = before.get(account_id)
        if was is None or ending - {lot.lot_id for lot in was.lots if lot.remaining}:
            return True
    return False


def _input(event: Event[Payload]) -> Input:
    return Input(cause=event, command=command_of(event))


async def _load(transaction: Transaction, inputs: Sequence[Input]) -> Books:
    """The state that the inputs can touch, with what waited for them: nothing does, as a rule."""
    needed = _needed(inputs)
    books, is_awaited = await store.load(transaction.connection, needed)
    if not is_awaited:
        return books
    # The accounts are locked: nothing has begun to wait since, and nothing else can release it.
    taken: dict[str, tuple[Input, ...]] = {}
    for key, event in await waiting.take(transaction, sorted(needed.keys)):
        taken[key] = (*taken.get(key, ()), _input(event))
    waiters = [each for inputs_ in taken.values() for each in inputs_]
    books, _ = await store.load(transaction.connection, _needed([*inputs, *waiters]))
    return replace(books, waiting=taken)


def _needed(inputs: Iterable[Input]) -> store.Needed:
    accounts, jobs, keys = set[UUID](), set[UUID](), set[str]()
    transactions, admitted_from = set[UUID](), NEVER
    for each in inputs:
        command = each.command
        accounts.add(command.account_id)
        if is_about_job(command):
            jobs.add(command.job_id)
            if type(command) is ReserveCredits:
                keys.add(job_key(command.account_id, command.job_id))
                admitted_from = min(admitted_from, command.at)
        elif is_keyed(command):
            transactions.add(command.transaction_id)
            if type(command) is DeductCredits:
                admitted_from = min(admitted_from, command.at)
            elif type(command) is ReverseTransaction:
                admitted_from = EVER  # what it gives back is of lots that may have ended long ago
        elif type(command) is OpenAccount:
            keys.add(account_key(command.account_id))
    return store.Needed(
        account_ids=accounts,
        job_ids=jobs,
        keys=keys,
        transaction_ids=transactions,
        admitted_from=admitted_from,
    )
