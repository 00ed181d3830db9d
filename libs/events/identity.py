"""Events of users and workspaces, written by the gateway. E-mails never stand here."""

from typing import ClassVar
from uuid import UUID

from libs.events.names import EventType, Service, Topic
from libs.events.payload import Moment, Payload


class UserRegistered(Payload, frozen=True, kw_only=True):
    """A user exists, and a credit account opened with these credits and overdraft limit."""

    event_type: ClassVar[EventType] = EventType.USER_REGISTERED
    topic: ClassVar[Topic] = Topic.IDENTITY
    writers: ClassVar[tuple[Service, ...]] = (Service.GATEWAY,)

    user_id: UUID
    account_id: UUID
    role: str
    signup_credits: int
    grace: int

    @property
    def subject(self) -> str:
        return str(self.user_id)

    @property
    def account(self) -> UUID:
        return self.account_id


class WorkspaceCreated(Payload, frozen=True, kw_only=True):
    """A workspace exists, and a credit account of its own opened with these credits and limit."""

    event_type: ClassVar[EventType] = EventType.WORKSPACE_CREATED
    topic: ClassVar[Topic] = Topic.IDENTITY
    writers: ClassVar[tuple[Service, ...]] = (Service.GATEWAY,)

    workspace_id: UUID
    account_id: UUID
    created_by: UUID
    signup_credits: int
    grace: int

    @property
    def subject(self) -> str:
        return str(self.workspace_id)

    @property
    def account(self) -> UUID:
        return self.account_id


class DeductionRequested(Payload, frozen=True, kw_only=True):
    """An administrator takes credits that are there: they are held, the ledger books them."""

    event_type: ClassVar[EventType] = EventType.DEDUCTION_REQUESTED
    topic: ClassVar[Topic] = Topic.IDENTITY
    writers: ClassVar[tuple[Service, ...]] = (Service.GATEWAY,)

    deduction_id: UUID
    account_id: UUID
    credits: int
    actor: UUID  # the administrator
    reason: str  # the administrator's own words
    requested_at: Moment

    @property
    def subject(self) -> str:
        return str(self.deduction_id)

    @property
    def account(self) -> UUID:
        return self.account_id
