"""Pushed events as they cross the wire, to server-sent events and sockets alike."""

from typing import Any, Final
from uuid import UUID

import msgspec
from pydantic import BaseModel

from libs.runtime.http.bodies import Body
from services.gateway.api.bodies import BalanceBody, JobBody
from services.gateway.api.views import JobViews
from services.gateway.domain.credits import AccountCopy
from services.gateway.domain.feed import GalleryNews
from services.gateway.handlers.streams import Told
from services.gateway.store.feed import Overview, Subject
from services.gateway.store.jobs import OwnJob

HEARTBEAT: Final = b": still here\n\n"
_NOT_A_POSITION: Final = -1


class GalleryBody(Body):
    """Pictures that have come, changed or gone, and the job that made them, if it was one."""

    item_ids: list[UUID]
    job_id: UUID | None


class OverviewBody(Body):
    """Where a user stands: credits, and the jobs under way, the newest first."""

    balance: BalanceBody
    jobs: list[JobBody]


class Pushes:
    """Shows what is told."""

    def __init__(self, jobs: JobViews) -> None:
        self._jobs = jobs

    def sse(self, told: Told | None) -> bytes:
        """A server-sent event; a comment where nothing came for a while."""
        if told is None:
            return HEARTBEAT
        data = msgspec.json.encode(self.data(told))  # one line: JSON escapes line ends
        return b"id: %d\nevent: %s\ndata: %s\n\n" % (told.position, told.kind.encode(), data)

    def data(self, told: Told) -> dict[str, Any]:
        """What an event carries."""
        return self._body(told.subject).model_dump(mode="json", by_alias=True)

    def _body(self, subject: Subject) -> BaseModel:
        match subject:
            case OwnJob():
                return self._jobs.job(subject, subject.state)
            case AccountCopy():
                return _balance(subject)
            case GalleryNews():
                return GalleryBody(item_ids=list(subject.item_ids), job_id=subject.job_id)
            case Overview():
                jobs = [self._jobs.job(job, job.state) for job in subject.jobs]
                return OverviewBody(balance=_balance(subject.balance), jobs=jobs)


def _balance(copy: AccountCopy) -> BalanceBody:
    return BalanceBody(
        credits=copy.shown_credits,
        available=copy.available,
        settled=copy.settled,
        held=copy.held,
        grace=copy.grace,
        version=copy.version,
    )


def position_of(text: str | None) -> int | None:
    """The feed position in an event id. What never was one is answered by a resync."""
    if not text:
        return None
    is_number = text.isascii() and text.isdigit() and len(text) <= 18
    return int(text) if is_number else _NOT_A_POSITION
