"""A batch of inputs, in order, over locked state: what is booked, and what has to wait."""

from collections.abc import Iterable, Mapping
from uuid import UUID

from msgspec import Struct, field

from libs.events.credits import CreditsEvent, JobCreditsEvent
from libs.events.envelope import Event
from libs.events.payload import Payload
from services.ledger.domain.account import Account, Reservation, evolve, evolve_reservation
from services.ledger.domain.commands import (
    Command,
    OpenAccount,
    ReserveCredits,
    is_about_job,
    is_keyed,
)
from services.ledger.domain.corrections import NOTHING, Past
from services.ledger.domain.decide import account_key, decide, job_key, needs
from services.ledger.domain.errors import LedgerError


class Input(Struct, frozen=True):
    """A command and the event that it came in; none where a person or the clock gave it."""

    cause: Event[Payload] | None
    command: Command


class Booked(Struct, frozen=True):
    """A credits event and the input that led to it."""

    cause: Event[Payload] | None
    event: CreditsEvent


class Refused(Struct, frozen=True):
    """An input that had waited, and is refused now that its turn has come."""

    cause: Event[Payload] | None
    error: LedgerError


class Books(Struct, frozen=True):
    """State, and the inputs that wait, by the key of what they wait for, in arrival order.

    Of the past there is what the batch can come back to.
    """

    accounts: Mapping[UUID, Account] = field(default_factory=dict)
    reservations: Mapping[UUID, Reservation] = field(default_factory=dict)
    waiting: Mapping[str, tuple[Input, ...]] = field(default_factory=dict)
    past: Past = NOTHING


class Folded(Struct, frozen=True):
    """What a batch has led to."""

    books: Books
    booked: list[Booked]
    refused: list[Refused]


def fold(books: Books, inputs: Iterable[Input]) -> Folded:
    """Apply inputs in order. One that needs another waits, and is applied right after it.

    Raises:
        LedgerError: an input is refused; nothing of the batch is booked.
    """
    run = _Run(books)
    for each in inputs:
        run.take(each)
    return Folded(run.books(), run.booked, run.refused)


class _Run:
    """The working copy of one fold."""

    def __init__(self, books: Books) -> None:
        self.accounts = dict(books.accounts)
        self.reservations = dict(books.reservations)
        self.waiting = {key: list(inputs) for key, inputs in books.waiting.items()}
        self.known = dict(books.past.known)
        self.past = Past(self.known, books.past.posted)
        self.booked: list[Booked] = []
        self.refused: list[Refused] = []

    def books(self) -> Books:
        waiting = {key: tuple(inputs) for key, inputs in self.waiting.items() if inputs}
        return Books(self.accounts, self.reservations, waiting, self.past)

    def take(self, first: Input) -> None:
        """Apply an input, then what waited for it, depth first: each follows its cause at once."""
        pending = [first]
        while pending:
            each = pending.pop()
            key = self._needed(each.command)
            if key is not None:
                self.waiting.setdefault(key, []).append(each)
                continue
            try:
                self._book(each)
            except LedgerError as error:
                if each is first:
                    raise
                # Its releaser is not to blame, and is booked.
                self.refused.append(Refused(each.cause, error))
                continue
            pending.extend(reversed(self._released(each.command)))

    def _needed(self, command: Command) -> str | None:
        return needs(self._account(command), self._reservation(command), command)

    def _book(self, each: Input) -> None:
        account, command = self._account(each.command), each.command
        events = decide(account, self._reservation(command), command, self.past)
        for event in events:
            account = evolve(account, event)
            if isinstance(event, JobCreditsEvent):
                before = self.reservations.get(event.job_id)
                self.reservations[event.job_id] = evolve_reservation(before, event)
        if not events:
            return
        self.accounts[account.account_id] = account  # after all that may refuse
        if is_keyed(command):
            self.known[command.transaction_id] = account.account_id
        self.booked.extend(Booked(each.cause, event) for event in events)

    def _released(self, command: Command) -> list[Input]:
        match command:
            case ReserveCredits() if self.waiting:
                return self.waiting.pop(job_key(command.account_id, command.job_id), [])
            case OpenAccount() if self.waiting:
                return self.waiting.pop(account_key(command.account_id), [])
            case _:
                return []

    def _account(self, command: Command) -> Account:
        return self.accounts.get(command.account_id) or Account(account_id=command.account_id)

    def _reservation(self, command: Command) -> Reservation | None:
        if is_about_job(command):
            return self.reservations.get(command.job_id)
        return None
