"""A batch of events folded into account copies, holds and jobs: loaded rows in, changes out."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from typing import ClassVar
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from libs.events.credits import (
    CreditsCaptured,
    CreditsDeducted,
    CreditsEvent,
    CreditsReleased,
    JobCreditsEvent,
)
from libs.events.gallery import GalleryItemEvent
from libs.events.generation import JobEvent
from libs.events.payload import Payload
from services.gateway.domain.credits import AccountCopy, catch_up, let_go
from services.gateway.domain.feed import FeedEntry, FeedKind, GalleryNews, gallery_news, news
from services.gateway.domain.jobs import JobState, evolve
from services.gateway.domain.limits import Settlement, Subject, added_up


class Hold(Struct, frozen=True, kw_only=True, gc=False):
    """Credits set aside at admission."""

    account_id: UUID
    credits: int
    closed_at: datetime | None = None


class Metered(Struct, frozen=True, kw_only=True, gc=False):
    """What admission counted against the caps of a day, for whom."""

    subjects: tuple[Subject, ...]
    day: date
    tokens: int


class Job(Struct, frozen=True, kw_only=True):
    """A job with its hold."""

    job_id: UUID
    user_id: UUID
    hold: Hold
    metered: Metered
    state: JobState

    def settled(self, before: JobState) -> Iterator[Settlement]:
        """What is to be corrected in the day's sums, since more is known now than before."""
        answer, charge, metered = self.state.answer, self.state.charge, self.metered
        tokens = charged = 0
        if answer is not None and before.answer is None:
            tokens = answer.tokens - metered.tokens
        if charge is not None and before.charge is None:
            charged = charge.credits - self.hold.credits
        if tokens or charged:
            for subject in metered.subjects:
                yield Settlement(subject=subject, day=metered.day, credits=charged, tokens=tokens)


class UnknownSubjectError(ValueError):
    """An event is about an account or a job that was never opened here, nor ever will be."""

    code: ClassVar[str] = "unknown_subject"


class Books:
    """The copies of accounts, the jobs and the holds of deductions that a batch is about."""

    def __init__(
        self,
        accounts: dict[UUID, AccountCopy],
        jobs: Iterable[Job],
        deductions: Mapping[UUID, Hold] | None = None,
    ) -> None:
        self.accounts = accounts
        self.jobs = {job.job_id: job for job in jobs}
        self.deductions = dict(deductions or {})
        self.closed_deductions: dict[UUID, datetime] = {}
        self._loaded_accounts = dict(accounts)
        self._loaded_jobs = dict(self.jobs)
        self._of_pictures: list[FeedEntry] = []

    def apply(self, event: Payload, at: datetime) -> None:
        """Fold one event.

        Raises:
            UnknownSubjectError: its account or job does not exist here.
        """
        if isinstance(event, GalleryItemEvent):
            self._of_pictures += filter(None, [gallery_news(event)])
        if isinstance(event, CreditsEvent):
            self.catch_up(event)
        if isinstance(event, CreditsCaptured | CreditsReleased):
            self.close_hold(event, at)
        if isinstance(event, CreditsDeducted):
            self.close_deduction(event.deduction_id, at)
        if isinstance(event, JobEvent | CreditsCaptured | CreditsReleased):
            job = self.job(event.job_id)
            self.jobs[job.job_id] = replace(job, state=self.evolve(job.state, event, at))

    def catch_up(self, event: CreditsEvent) -> None:
        """Take over settled credits and grace, if the event is newer than the copy."""
        self.accounts[event.account_id] = catch_up(
            self.account(event.account_id),
            version=event.account_version,
            settled=event.settled_after,
            grace=event.grace_after,
        )

    def close_hold(self, event: JobCreditsEvent, at: datetime) -> None:
        """Close the job's hold, once.

        The key is the job, never the version: the copy may already be ahead of this event.
        """
        job = self.job(event.job_id)
        if job.hold.closed_at is not None:
            return
        account_id = job.hold.account_id
        self.accounts[account_id] = let_go(self.account(account_id), job.hold.credits)
        self.jobs[job.job_id] = replace(job, hold=replace(job.hold, closed_at=at))

    def close_deduction(self, deduction_id: UUID, at: datetime) -> None:
        """Close the hold of a deduction, once, whatever version the copy is at."""
        hold = self.deductions.get(deduction_id)
        if hold is None:
            raise UnknownSubjectError(f"deduction {deduction_id} was not taken here")
        if hold.closed_at is not None:
            return
        self.accounts[hold.account_id] = let_go(self.account(hold.account_id), hold.credits)
        self.deductions[deduction_id] = replace(hold, closed_at=at)
        self.closed_deductions[deduction_id] = at

    def evolve(self, state: JobState, event: Payload, at: datetime) -> JobState:
        """The job's state after the event."""
        return evolve(state, event, at)

    def account(self, account_id: UUID) -> AccountCopy:
        try:
            return self.accounts[account_id]
        except KeyError:
            raise UnknownSubjectError(f"account {account_id} was not opened here") from None

    def job(self, job_id: UUID) -> Job:
        try:
            return self.jobs[job_id]
        except KeyError:
            raise UnknownSubjectError(f"job {job_id} was not accepted here") from None

    def changed_accounts(self) -> dict[UUID, AccountCopy]:
        """Copies that differ from what was loaded."""
        return {
            account_id: copy
            for account_id, copy in self.accounts.items()
            if copy != self._loaded_accounts[account_id]
        }

    def changed_jobs(self) -> list[Job]:
        """Jobs whose state differs from what was loaded."""
        return [
            job for job_id, job in self.jobs.items() if job.state != self._loaded_jobs[job_id].state
        ]

    def closed_holds(self) -> list[Job]:
        """Jobs whose hold was closed by this batch."""
        return [
            job for job_id, job in self.jobs.items() if job.hold != self._loaded_jobs[job_id].hold
        ]

    def settlements(self) -> list[Settlement]:
        """What the batch tells of the true use of jobs, in the order of the rows' locks."""
        return added_up(
            settlement
            for job_id, job in self.jobs.items()
            for settlement in job.settled(self._loaded_jobs[job_id].state)
        )

    def feed(self) -> list[FeedEntry]:
        """What the batch has to tell the users: the end of a job behind all that it stands for."""
        return [
            *self._of_pictures,
            *self._listed(),
            *self._balances(),
            *self._progress(),
        ]

    def _listed(self) -> Iterator[FeedEntry]:
        for job in self.changed_jobs():
            listing = job.state.listing
            if listing and listing.item_ids and not self._loaded_jobs[job.job_id].state.listing:
                body = GalleryNews(item_ids=listing.item_ids, job_id=job.job_id)
                yield FeedEntry(user_id=job.user_id, kind=FeedKind.GALLERY_ADDED, body=body)

    def _balances(self) -> Iterator[FeedEntry]:
        """Accounts whose credits, holds or grace are others now; a person's has the person's id."""
        changed = {
            account_id
            for account_id, copy in self.accounts.items()
            if _credits(copy) != _credits(self._loaded_accounts[account_id])
        }
        for account_id in sorted(changed):
            yield FeedEntry(user_id=account_id, kind=FeedKind.BALANCE_CHANGED)

    def _progress(self) -> Iterator[FeedEntry]:
        for job in self.changed_jobs():
            for kind in news(self._loaded_jobs[job.job_id].state, job.state):
                yield FeedEntry(user_id=job.user_id, kind=kind, job_id=job.job_id, body=job.state)


def _credits(copy: AccountCopy) -> tuple[int, int, int]:
    return copy.settled, copy.held, copy.grace
