"""Third parties and other services, as the handlers see them."""

from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from libs.events.names import Service
from services.gateway.domain.webhooks import Outcome


class Passwords(Protocol):
    """Slow one-way hashing, away from the event loop."""

    async def hash(self, password: str) -> str: ...

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Whether the password fits. Without a hash the answer is no, after the same time."""
        ...

    def is_dated(self, password_hash: str) -> bool:
        """Whether the hash is of another kind, or cheaper to guess, than those made now."""
        ...


class Letter(Struct, frozen=True, kw_only=True):
    """A mail as it is handed over; the same one keeps its id."""

    id: str
    to: str
    subject: str
    body: str


class MailDelayedError(Exception):
    """The mail could not be handed over now."""


class MailRefusedError(Exception):
    """The mail will never be taken."""


class Post(Protocol):
    """Who delivers mails."""

    async def send(self, letter: Letter) -> None:
        """Hand a mail over.

        Raises:
            MailDelayedError: not now.
            MailRefusedError: never.
        """
        ...


class OutsidePerson(Struct, frozen=True, kw_only=True):
    """Whom a token of an outside issuer is for; an e-mail only if it is known to be theirs."""

    issuer: str
    subject: str
    email: str | None
    issued_at: datetime
    expires_at: datetime


class Issuer(Protocol):
    """Somebody else who logs people in."""

    def has_issued(self, token: str) -> bool:
        """Whether a token says so; nothing is verified."""
        ...

    async def verify(self, token: str) -> OutsidePerson:
        """Who a token is for.

        Raises:
            Unauthorized: it is not good.
            Unavailable: nobody can say now.
        """
        ...


class OwnerCall(Struct, frozen=True, kw_only=True):
    """A request to the service that owns what is asked for."""

    owner: Service
    method: str
    target: str  # path and query as they were sent
    headers: Mapping[str, str]
    body: bytes | AsyncIterable[bytes] | None = None  # a stream flows through as it comes


class OwnerAnswer(Protocol):
    """What the owner answers; the body flows through as it comes."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]:
        """By lower-case name."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """Its body.

        Raises, as it is read:
            OwnerUnreachableError: it breaks off.
        """
        ...


class OwnerUnreachableError(Exception):
    """The owner does not answer, or not in time."""

    def __init__(self, owner: Service) -> None:
        super().__init__(f"{owner.value} does not answer")
        self.owner = owner


class Owners(Protocol):
    """The services behind the gateway."""

    def call(self, call: OwnerCall) -> AbstractAsyncContextManager[OwnerAnswer]:
        """Send a request.

        Raises:
            OwnerUnreachableError: on entering, when there is no answer.
        """
        ...


class UnreachableReferenceError(Exception):
    """A picture cannot be fetched from where a client says it lies; the text says why."""


class References(Protocol):
    """Pictures out there, that clients name by their address."""

    def fetch(self, url: str) -> AsyncIterator[bytes]:
        """What lies at an address of the public internet, as it comes.

        Raises, as it is read:
            UnreachableReferenceError: it cannot be had, or not from there.
        """
        ...


class ForbiddenWebhookError(Exception):
    """An address that is not called; the text says why."""


class Call(Struct, frozen=True, kw_only=True):
    """What is told to another program, signed."""

    url: str
    headers: Mapping[str, str]
    body: bytes


class Webhooks(Protocol):
    """Other programs out there, that people name by their address."""

    async def check(self, url: str) -> None:
        """Whether an address may be called, as far as its name tells now.

        Raises:
            ForbiddenWebhookError: it may not, or leads nowhere.
        """
        ...

    async def send(self, call: Call) -> Outcome:
        """Tell it, and say how that went: never by raising."""
        ...
