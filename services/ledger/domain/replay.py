"""The ledger's own events, folded again: they say what was decided, so nothing is decided anew."""

from collections.abc import Iterable
from uuid import UUID

from libs.events.credits import CreditsEvent, JobCreditsEvent
from libs.events.envelope import Event
from services.ledger.domain.account import Account, Reservation, evolve, evolve_reservation
from services.ledger.domain.fold import Books


class Replay:
    """State that follows recorded events. A version that an account has passed is a repeat."""

    def __init__(self, books: Books | None = None) -> None:
        books = books or Books()
        self.accounts: dict[UUID, Account] = dict(books.accounts)
        self.reservations: dict[UUID, Reservation] = dict(books.reservations)

    def take(self, events: Iterable[Event[CreditsEvent]]) -> list[Event[CreditsEvent]]:
        """Follow events in order; answers those that were news.

        Raises:
            BrokenBooksError: one does not follow on the one before, or does not add up.
        """
        return [event for event in events if self._follow(event.data)]

    def books(self) -> Books:
        """Where it stands."""
        return Books(self.accounts, self.reservations)

    def _follow(self, event: CreditsEvent) -> bool:
        account = self.accounts.get(event.account_id) or Account(account_id=event.account_id)
        if event.account_version <= account.version:
            return False
        self.accounts[event.account_id] = evolve(account, event)
        if isinstance(event, JobCreditsEvent):
            known = self.reservations.get(event.job_id)
            self.reservations[event.job_id] = evolve_reservation(known, event)
        return True
