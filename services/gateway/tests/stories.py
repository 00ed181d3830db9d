"""Events of one account's jobs as the services would publish them, for tests of the fold."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from msgspec import Struct

from libs.events.billing import UsageOutcome, UsageRecorded
from libs.events.credits import CreditsCaptured, CreditsGranted, CreditsReleased, Wallet
from libs.events.gallery import GalleryItemsAdded
from libs.events.generation import FailureCode, GenerationStarted
from libs.events.payload import Payload
from libs.events.testing import NOW, completed, failed, request_facts
from services.gateway.domain.books import Books, Hold, Job, Metered
from services.gateway.domain.credits import AccountCopy
from services.gateway.domain.jobs import JobState
from services.gateway.domain.limits import Kind, Subject

SIGNUP = 20
PRICE = 3
TOKENS = 5


class Said(Struct, frozen=True):
    """An event and its time."""

    data: Payload
    at: datetime


class Account(Struct, frozen=True, kw_only=True):
    """An account with jobs under way, and everything that will be said of them, in ledger order."""

    account_id: UUID
    jobs: tuple[UUID, ...]
    events: tuple[Said, ...]
    settled_at_end: int
    versions: int

    def books(self) -> Books:
        """What the gateway has right after admission."""
        held = PRICE * len(self.jobs)
        copy = AccountCopy(version=0, settled=SIGNUP, grace=0, held=held)
        jobs = [
            Job(
                job_id=job_id,
                user_id=self.account_id,
                hold=Hold(account_id=self.account_id, credits=PRICE),
                metered=Metered(
                    subjects=(Subject(Kind.USER, str(self.account_id)),),
                    day=NOW.date(),
                    tokens=TOKENS,
                ),
                state=JobState(),
            )
            for job_id in self.jobs
        ]
        return Books({self.account_id: copy}, jobs)


def account_with(*outcomes: str, started: bool = False) -> Account:
    """An account with one job per outcome: completed, failed or cancelled."""
    account_id = uuid4()
    events: list[Payload] = [granted(account_id, version=1, settled=SIGNUP)]
    jobs, settled, version = [], SIGNUP, 1
    for outcome in outcomes:
        job_id, version = uuid4(), version + 1
        settled -= PRICE if outcome == "completed" else 0
        jobs.append(job_id)
        if started:
            events.append(GenerationStarted(job_id=job_id, account_id=account_id, attempt=1))
        events += told(account_id, job_id, outcome, version=version, settled=settled)
    return Account(
        account_id=account_id,
        jobs=tuple(jobs),
        events=tuple(timed(events)),
        settled_at_end=settled,
        versions=version,
    )


def timed(events: Iterable[Payload]) -> list[Said]:
    return [Said(data, NOW + timedelta(seconds=place)) for place, data in enumerate(events)]


def told(
    account_id: UUID, job_id: UUID, outcome: str, *, version: int, settled: int
) -> list[Payload]:
    """What generation, ledger, gallery and billing say of a job that ends so."""
    request = request_facts(
        job_id=job_id, account_id=account_id, user_id=account_id, unit_credits=PRICE
    )
    if outcome == "completed":
        return [
            completed(request),
            captured(account_id, job_id, version=version, settled=settled),
            listed(account_id, job_id),
            recorded(account_id, job_id, UsageOutcome.COMPLETED),
        ]
    code = FailureCode.CANCELLED if outcome == "cancelled" else FailureCode.SERVER
    return [
        failed(request, code=code),
        released(account_id, job_id, version=version, settled=settled),
        recorded(account_id, job_id, UsageOutcome.FAILED),
    ]


def granted(account_id: UUID, *, version: int, settled: int, grace: int = 0) -> CreditsGranted:
    return CreditsGranted(
        account_id=account_id,
        account_version=version,
        settled_after=settled,
        grace_after=grace,
        transaction_id=uuid4(),
        lot_id=uuid4(),
        wallet=Wallet.PROMO,
        credits=settled,
        source="signup",
    )


def captured(
    account_id: UUID, job_id: UUID, *, version: int, settled: int, grace: int = 0
) -> CreditsCaptured:
    return CreditsCaptured(
        account_id=account_id,
        account_version=version,
        settled_after=settled,
        grace_after=grace,
        transaction_id=uuid4(),
        job_id=job_id,
        credits=PRICE,
        lots=(),
        released_credits=0,
        released_lots=(),
    )


def released(
    account_id: UUID, job_id: UUID, *, version: int, settled: int, grace: int = 0
) -> CreditsReleased:
    return CreditsReleased(
        account_id=account_id,
        account_version=version,
        settled_after=settled,
        grace_after=grace,
        transaction_id=uuid4(),
        job_id=job_id,
        released_credits=PRICE,
        released_lots=(),
    )


def listed(account_id: UUID, job_id: UUID) -> GalleryItemsAdded:
    return GalleryItemsAdded(
        job_id=job_id, account_id=account_id, user_id=account_id, item_ids=(uuid4(),)
    )


def recorded(account_id: UUID, job_id: UUID, outcome: UsageOutcome) -> UsageRecorded:
    credits_charged = PRICE if outcome is UsageOutcome.COMPLETED else 0
    return UsageRecorded(
        job_id=job_id,
        account_id=account_id,
        usage_id=uuid4(),
        outcome=outcome,
        credits=credits_charged,
    )
