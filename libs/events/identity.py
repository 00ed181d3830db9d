"""Events of users, their keys and limits, written by the gateway. E-mails never stand here."""

from typing import ClassVar
from uuid import UUID

from libs.events.names import EventType, Service, Topic
from libs.events.payload import Moment, Payload


class IdentityEvent(Payload, frozen=True, kw_only=True):
    """Something of one account: its persons, their rights and their keys."""

    topic: ClassVar[Topic] = Topic.IDENTITY
    writers: ClassVar[tuple[Service, ...]] = (Service.GATEWAY,)

    account_id: UUID

    @property
    def account(self) -> UUID:
        return self.account_id


class UserEvent(IdentityEvent, frozen=True, kw_only=True):
    """Something of one person."""

    user_id: UUID

    @property
    def subject(self) -> str:
        return str(self.user_id)


class UserRegistered(UserEvent, frozen=True, kw_only=True):
    """A user exists, and a credit account opened with these credits and overdraft limit."""

    event_type: ClassVar[EventType] = EventType.USER_REGISTERED

    role: str
    signup_credits: int
    grace: int


class AccountErased(UserEvent, frozen=True, kw_only=True):
    """A person is gone: whoever has their words or pictures removes them. The books stay."""

    event_type: ClassVar[EventType] = EventType.ACCOUNT_ERASED

    actor: UUID  # who asked for it: the person, or an administrator


class WorkspaceCreated(IdentityEvent, frozen=True, kw_only=True):
    """A workspace exists, and a credit account of its own opened with these credits and limit."""

    event_type: ClassVar[EventType] = EventType.WORKSPACE_CREATED

    workspace_id: UUID
    created_by: UUID
    signup_credits: int
    grace: int

    @property
    def subject(self) -> str:
        return str(self.workspace_id)


class UserBanned(UserEvent, frozen=True, kw_only=True):
    """An administrator took from a user the right to generate."""

    event_type: ClassVar[EventType] = EventType.USER_BANNED

    reason: str  # the administrator's own words
    actor: UUID  # the administrator


class UserUnbanned(UserEvent, frozen=True, kw_only=True):
    """An administrator gave a user the right to generate back."""

    event_type: ClassVar[EventType] = EventType.USER_UNBANNED

    reason: str  # the administrator's own words
    actor: UUID  # the administrator


class SessionsRevoked(UserEvent, frozen=True, kw_only=True):
    """All log-ins of a user have ended: only those of this epoch, or a later one, are good."""

    event_type: ClassVar[EventType] = EventType.SESSIONS_REVOKED

    session_epoch: int
    actor: UUID  # the user, or the administrator who banned them


class DeductionRequested(IdentityEvent, frozen=True, kw_only=True):
    """An administrator takes credits that are there: they are held, the ledger books them."""

    event_type: ClassVar[EventType] = EventType.DEDUCTION_REQUESTED

    deduction_id: UUID
    credits: int
    actor: UUID  # the administrator
    reason: str  # the administrator's own words
    requested_at: Moment

    @property
    def subject(self) -> str:
        return str(self.deduction_id)


class ApiKeyCreated(IdentityEvent, frozen=True, kw_only=True):
    """A user made a key for programs. The key itself is told to nobody else."""

    event_type: ClassVar[EventType] = EventType.API_KEY_CREATED

    key_id: UUID
    user_id: UUID
    scopes: tuple[str, ...]

    @property
    def subject(self) -> str:
        return str(self.key_id)


class ApiKeyRevoked(IdentityEvent, frozen=True, kw_only=True):
    """A key opens nothing any more."""

    event_type: ClassVar[EventType] = EventType.API_KEY_REVOKED

    key_id: UUID
    user_id: UUID
    actor: UUID

    @property
    def subject(self) -> str:
        return str(self.key_id)


class LimitChanged(Payload, frozen=True, kw_only=True):
    """What is set for one subject from now on; without a figure the default of its kind holds.

    A throttle is a lower rate until an instant. A provider belongs to no account.
    """

    event_type: ClassVar[EventType] = EventType.LIMIT_CHANGED
    topic: ClassVar[Topic] = Topic.IDENTITY
    writers: ClassVar[tuple[Service, ...]] = (Service.GATEWAY,)

    kind: str  # user, workspace, key or provider
    limited: str  # its id, or the provider's name
    account_id: UUID | None
    per_minute: int | None
    credits_per_day: int | None
    tokens_per_day: int | None
    throttle_per_minute: int | None
    throttled_until: Moment | None
    reason: str
    actor: UUID  # the administrator, or the owner who made the key

    @property
    def subject(self) -> str:
        return f"{self.kind}-{self.limited}"

    @property
    def account(self) -> UUID | None:
        return self.account_id
