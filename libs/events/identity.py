"""Events of users and workspaces, written by the gateway. E-mails never stand here."""

from typing import ClassVar
from uuid import UUID

from libs.events.names import EventType, Service, Topic
from libs.events.payload import Payload


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
