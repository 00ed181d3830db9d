"""Everything that can happen to an account, in every order hypothesis can think of."""

from collections import defaultdict
from datetime import datetime, timedelta
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from libs.events.credits import (
    CreditsCaptured,
    CreditsEvent,
    CreditsExpired,
    CreditsForfeited,
    CreditsGranted,
    CreditsReclaimed,
    CreditsReleased,
    CreditsReversed,
    GraceChanged,
    JobCreditsEvent,
    Wallet,
)
from libs.events.payload import Payload
from libs.events.testing import NOW, event
from services.ledger.domain import ids
from services.ledger.domain.account import (
    Account,
    Reservation,
    ReservationState,
    evolve,
    evolve_reservation,
)
from services.ledger.domain.commands import (
    Command,
    ExpireLot,
    ForfeitSubscription,
    ReverseTransaction,
    SetGrace,
    command_of,
)
from services.ledger.domain.corrections import Past
from services.ledger.domain.fold import Books, Input, fold
from services.ledger.domain.lots import Lot, total
from services.ledger.domain.posted import posted_by
from services.ledger.domain.postings import REVERSIBLE, Book, Transaction, transaction_of
from services.ledger.tests.builders import (
    ADMIN,
    completed,
    deduction,
    facts,
    failed,
    paid,
    published,
    refunded,
    registered,
    renewed,
    requested,
)

ACCOUNT = UUID(int=1)
HOUR = timedelta(hours=1)
AMOUNTS = st.integers(1, 6)
HOUSE = (Book.WORLD, Book.REVENUE, Book.BREAKAGE)


class Ledger(RuleBasedStateMachine):
    """One account; time goes on by hours, requests may arrive up to three hours late."""

    @initialize(credits_=st.integers(0, 6), grace=st.integers(0, 3))
    def open(self, credits_: int, grace: int) -> None:
        self.books, self.hours, self.number = Books(), 0, 100
        self.events: list[CreditsEvent] = []
        self.told: list[Payload] = []
        self.running: list[tuple[Payload, Payload, int]] = []
        self.expected = credits_  # settled, worked out from what was told alone
        self.tell(registered(ACCOUNT, signup_credits=credits_, grace=grace))

    # --- what happens ---

    @rule(units=st.integers(0, 6), delivered=st.integers(0, 6), late=st.integers(0, 3))
    def request(self, units: int, delivered: int, late: int) -> None:
        admitted = self.now - late * HOUR
        request = facts(ACCOUNT, self.new_id(), units=units, requested_at=admitted)
        charge = min(units, delivered)
        self.running.append((completed(request, delivered), failed(request), charge))
        for each in self.tell(requested(request)):
            if isinstance(each, CreditsReclaimed):
                self.expected += each.credits

    @precondition(lambda self: self.running)
    @rule(data=st.data(), succeeds=st.booleans(), hours=st.integers(0, 3))
    def answer(self, data: st.DataObject, *, succeeds: bool, hours: int) -> None:
        self.hours += hours  # lots end while jobs run
        place = data.draw(st.integers(0, len(self.running) - 1))
        done, failed_, charge = self.running.pop(place)
        (closed,) = self.tell(done if succeeds else failed_)
        assert isinstance(closed, CreditsCaptured | CreditsReleased)
        self.expected -= (charge if succeeds else 0) + total(closed.forfeited_lots)
        ended = {lot.lot_id for lot in self.account.lots if lot.is_over(self.now)}
        assert not ended & {each.lot_id for each in closed.released_lots}

    @rule(credits_=AMOUNTS, hours=st.none() | st.integers(1, 5))
    def pay(self, credits_: int, hours: int | None) -> None:
        end = None if hours is None else self.now + hours * HOUR
        self.tell(paid(ACCOUNT, credits_, str(self.new_id()), expires_at=end))
        self.expected += credits_

    @rule(credits_=AMOUNTS, hours=st.integers(1, 5))
    def renew(self, credits_: int, hours: int) -> None:
        before = self.account
        data = renewed(
            ACCOUNT, credits_, until=self.now + hours * HOUR, payment_id=str(self.new_id())
        )
        (grant,) = self.tell(data)
        assert isinstance(grant, CreditsGranted)
        self.expected += credits_ - total(grant.reset_lots)
        if grant.is_renewal:
            wallet = [lot for lot in before.lots if lot.wallet is Wallet.SUBSCRIPTION]
            assert total(grant.reset_lots) == sum(lot.remaining for lot in wallet)

    @rule(credits_=AMOUNTS)
    def refund(self, credits_: int) -> None:
        self.tell(refunded(ACCOUNT, credits_, refund_id=str(self.new_id())))
        self.expected -= credits_

    @rule(credits_=AMOUNTS, late=st.integers(0, 3))
    def deduct(self, credits_: int, late: int) -> None:
        at = self.now - late * HOUR
        for each in self.tell(deduction(ACCOUNT, credits_, deduction_id=self.new_id(), at=at)):
            self.expected += each.credits if isinstance(each, CreditsReclaimed) else -credits_

    @rule(hours=st.integers(1, 3))
    def wait(self, hours: int) -> None:
        self.hours += hours

    @precondition(lambda self: any(lot.remaining and lot.is_over(self.now) for lot in self.lots))
    @rule()
    def expire(self) -> None:
        for lot in self.account.lots:
            command = ExpireLot(
                transaction_id=ids.expiry_id(lot.lot_id),
                account_id=ACCOUNT,
                lot_id=lot.lot_id,
                at=self.now,
            )
            for each in (*self.order(command), *self.order(command)):
                assert isinstance(each, CreditsExpired)
                self.expected -= each.credits

    @precondition(lambda self: any(lot.wallet is Wallet.SUBSCRIPTION for lot in self.lots))
    @rule()
    def forfeit(self) -> None:
        (gone,) = self.order(
            ForfeitSubscription(transaction_id=self.new_id(), account_id=ACCOUNT, at=self.now)
        )
        assert isinstance(gone, CreditsForfeited)
        self.expected -= gone.credits

    @rule(grace=st.integers(0, 5))
    def set_grace(self, grace: int) -> None:
        command = SetGrace(
            transaction_id=self.new_id(), account_id=ACCOUNT, grace=grace, actor=ADMIN, reason=""
        )
        (changed,) = self.order(command)
        assert isinstance(changed, GraceChanged)

    @precondition(lambda self: self.reversible())
    @rule(data=st.data())
    def reverse(self, data: st.DataObject) -> None:
        self.reverse_one(data.draw(st.sampled_from(self.reversible())))

    @precondition(lambda self: self.ends())
    @rule(data=st.data())
    def reverse_an_end(self, data: st.DataObject) -> None:
        self.reverse_one(data.draw(st.sampled_from(self.ends())))

    def reverse_one(self, chosen: Transaction) -> None:
        posted = posted_by(ACCOUNT, chosen.transaction_id, chosen.kind, chosen.entries)
        past = Past(self.books.past.known, {posted.transaction_id: posted})
        self.books = Books(self.books.accounts, self.books.reservations, past=past)
        self.order(
            ReverseTransaction(
                transaction_id=ids.reversal_id(chosen.transaction_id),
                account_id=ACCOUNT,
                reverses=chosen.transaction_id,
                at=self.now,
                actor=ADMIN,
                reason="",
            )
        )
        given = sum(entry.credits for entry in chosen.entries if entry.book in HOUSE)
        self.expected += given - self.reclaimed_of(chosen.transaction_id)

    @precondition(lambda self: self.told)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """Under another event id, at any later moment: nothing is booked, nothing is said."""
        assert self.tell(data.draw(st.sampled_from(self.told)), is_new=False) == []

    # --- what is always true ---

    @invariant()
    def settled_is_what_was_given_less_what_was_taken(self) -> None:
        assert self.account.settled == self.expected

    @invariant()
    def every_transaction_sums_to_zero_and_the_state_is_their_sum(self) -> None:
        sums = defaultdict[tuple[Book, UUID | None], int](int)
        for each in self.events:
            entries = transaction_of(published(each)).entries
            assert sum(entry.credits for entry in entries) == 0
            assert len(entries) >= 2
            for entry in entries:
                sums[entry.book, entry.lot_id] += entry.credits
        account = self.account
        assert sums[Book.OVERDRAFT, None] == account.overdraft <= 0
        assert sums[Book.RESERVED, None] == account.reserved >= 0
        for lot in account.lots:
            assert sums[Book.LOT, lot.lot_id] == lot.remaining
            assert lot.remaining == 0 or lot.ended_at is None

    @invariant()
    def what_ended_lots_may_still_give_back_is_in_breakage(self) -> None:
        entries = [e for each in self.events for e in transaction_of(published(each)).entries]
        breakage = sum(entry.credits for entry in entries if entry.book is Book.BREAKAGE)
        assert 0 <= sum(lot.reclaimable for lot in self.account.lots) <= breakage

    @invariant()
    def debt_and_free_credits_are_never_side_by_side(self) -> None:
        if self.account.owed:
            assert not any(
                lot.remaining for lot in self.account.lots if not lot.is_over(self.written_at)
            )

    @invariant()
    def reserved_is_what_running_jobs_have_set_aside(self) -> None:
        open_ = [
            each
            for each in self.books.reservations.values()
            if each.state is ReservationState.RESERVED
        ]
        assert sum(each.credits for each in open_) == self.account.reserved
        borrowed = [each for one in open_ for each in one.lots if each.lot_id is None]
        assert total(borrowed) == self.account.overdraft_reserved

    def teardown(self) -> None:
        """The events alone make the same state again."""
        if not hasattr(self, "events"):
            return
        account, reservations = Account(account_id=ACCOUNT), dict[UUID, Reservation]()
        for each in self.events:
            account = evolve(account, each)
            if isinstance(each, JobCreditsEvent):
                before = reservations.get(each.job_id)
                reservations[each.job_id] = evolve_reservation(before, each)
        assert (account, reservations) == (self.account, self.books.reservations)

    # --- how it is told ---

    def reversible(self) -> list[Transaction]:
        reversed_ = {each.reverses for each in self.events if isinstance(each, CreditsReversed)}
        return [
            each
            for each in map(transaction_of, map(published, self.events))
            if each.kind in REVERSIBLE and each.transaction_id not in reversed_
        ]

    def ends(self) -> list[Transaction]:
        """Those that have ended lots with credits in them."""
        return [each for each in self.reversible() if self.ended_by(each.transaction_id)]

    def reclaimed_of(self, transaction_id: UUID) -> int:
        """What requests have had of the lots that a transaction ended."""
        ended = self.ended_by(transaction_id)
        events = [each for each in self.events if isinstance(each, CreditsReclaimed)]
        taken = [amount for each in events for amount in each.lots]
        return total(each for each in taken if each.lot_id in ended)

    def ended_by(self, transaction_id: UUID) -> set[UUID | None]:
        (ender,) = [each for each in self.events if each.transaction_id == transaction_id]
        match ender:
            case CreditsExpired():
                return {ender.lot_id}
            case CreditsForfeited():
                return {each.lot_id for each in ender.lots}
            case CreditsGranted():
                return {each.lot_id for each in ender.reset_lots}
            case _:
                return set()

    @property
    def account(self) -> Account:
        return self.books.accounts[ACCOUNT]

    @property
    def lots(self) -> tuple[Lot, ...]:
        return self.account.lots

    @property
    def now(self) -> datetime:
        return NOW + self.hours * HOUR

    def new_id(self) -> UUID:
        self.number += 1
        return UUID(int=self.number)

    def tell(self, data: Payload, *, is_new: bool = True) -> list[CreditsEvent]:
        if is_new:
            self.told.append(data)
        cause = event(data, time=self.now)
        return self.apply(Input(cause, command_of(cause)))

    def order(self, command: Command) -> list[CreditsEvent]:
        return self.apply(Input(None, command))

    def apply(self, given: Input) -> list[CreditsEvent]:
        folded = fold(self.books, [given])
        self.books, self.written_at = folded.books, self.now
        booked = [each.event for each in folded.booked]
        self.events += booked
        return booked


Ledger.TestCase.settings = settings(
    max_examples=150, stateful_step_count=30, deadline=None, database=None, derandomize=True
)
TestLedger = Ledger.TestCase
