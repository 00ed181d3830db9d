"""Events of users, their keys and limits, written by the gateway. E-mails never stand here."""

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


class AccountErased(Payload, frozen=True, kw_only=True):
    """A person is gone: whoever has their words or pictures removes them. The books stay."""

    event_type: ClassVar[EventType] = EventType.ACCOUNT_ERASED
    topic: ClassVar[Topic] = Topic.IDENTITY
    writers: ClassVar[tuple[Service, ...]] = (Service.GATEWAY,)

    user_id: UUID
    account_id: UUID
    actor: UUID  # who asked for it: the person, or an administrator

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


class UserBanned(Payload, frozen=True, kw_only=True):
    """An administrator took from a user the right to generate."""

    event_type: ClassVar[EventType] = EventType.USER_BANNED
    topic: ClassVar[Topic] = Topic.IDENTITY
    writers: ClassVar[tuple[Service, ...]] = (Service.GATEWAY,)

    user_id: UUID
    account_id: UUID
    reason: str  # the administrator's own words
    actor: UUID  # the administrator

    @property
    def subject(self) -> str:
        return str(self.user_id)

    @property
    def account(self) -> UUID:
        return self.account_id


class UserUnbanned(Payload, frozen=True, kw_only=True):
    """An administrator gave a user the right to generate back."""

    event_type: ClassVar[EventType] = EventType.USER_UNBANNED
    topic: ClassVar[Topic] = Topic.IDENTITY
    writers: ClassVar[tuple[Service, ...]] = (Service.GATEWAY,)

    user_id: UUID
    account_id: UUID
    reason: str  # the administrator's own words
    actor: UUID  # the administrator

    @property
    def subject(self) -> str:
        return str(self.user_id)

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


class ApiKeyCreated(Payload, frozen=True, kw_only=True):
    """A user made a key for programs. The key itself is told to nobody else."""

    event_type: ClassVar[EventType] = EventType.API_KEY_CREATED
    topic: ClassVar[Topic] = Topic.IDENTITY
    writers: ClassVar[tuple[Service, ...]] = (Service.GATEWAY,)

    key_id: UUID
    user_id: UUID
    account_id: UUID
    scopes: tuple[str, ...]

    @property
    def subject(self) -> str:
        return str(self.key_id)

    @property
    def account(self) -> UUID:
        return self.account_id


class ApiKeyRevoked(Payload, frozen=True, kw_only=True):
    """A key opens nothing any more."""

    event_type: ClassVar[EventType] = EventType.API_KEY_REVOKED
    topic: ClassVar[Topic] = Topic.IDENTITY
    writers: ClassVar[tuple[Service, ...]] = (Service.GATEWAY,)

    key_id: UUID
    user_id: UUID
    account_id: UUID
    actor: UUID

    @property
    def subject(self) -> str:
        return str(self.key_id)

    @property
    def account(self) -> UUID:
        return self.account_id


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
