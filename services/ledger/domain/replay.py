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


def in_order(
    books: Books, events: Iterable[Event[CreditsEvent]]
) -> tuple[list[Event[CreditsEvent]], list[Event[CreditsEvent]]]:
    """Events by the versions of their accounts: those that can follow, and those that are early.

    A log that was filled again may hold an account's last events before its first.
    """
    versions = {account_id: account.version for account_id, account in books.accounts.items()}
    ready: list[Event[CreditsEvent]] = []
    early: list[Event[CreditsEvent]] = []
    for each in sorted(events, key=lambda event: event.data.account_version):
        account_id, version = each.data.account_id, each.data.account_version
        if version > versions.get(account_id, 0) + 1:
            early.append(each)
        else:
            ready.append(each)
            versions[account_id] = max(version, versions.get(account_id, 0))
    return ready, early
