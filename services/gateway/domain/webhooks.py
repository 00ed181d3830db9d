"""Outgoing webhooks: what may be asked for, how a message is signed, when it is sent again.

Source: Standard Webhooks, https://github.com/standard-webhooks/standard-webhooks (version 1).
"""

import base64
import hashlib
import hmac
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct

from services.gateway.domain.feed import FeedKind
from services.gateway.domain.text import InvalidRequestError

SECRET_BYTES: Final = 32
URL_CHARS_MAX: Final = 2_000
ENDPOINTS_MAX: Final = 20  # of one person
OVERLAP: Final = timedelta(days=1)  # for which a secret that was replaced signs as well
OVERLAP_MAX: Final = timedelta(days=30)

# After these times, and a little more: then nobody is told any more.
LADDER: Final = tuple(
    timedelta(seconds=seconds)
    for seconds in (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
)
JITTER: Final = 0.2
DISABLED_AFTER: Final = timedelta(days=5)  # without anything that has arrived
GONE: Final = 410  # an answer that asks never to be told again

EVENTS: Final = (
    FeedKind.JOB_UPDATED,
    FeedKind.ASSET_READY,
    FeedKind.JOB_COMPLETED,
    FeedKind.JOB_FAILED,
    FeedKind.JOB_CANCELLED,
)
"""What can be told to other programs."""


class Scheme(StrEnum):
    """How messages are signed."""

    HMAC = "hmac"  # by a secret that both know
    ED25519 = "ed25519"  # by a key that nobody else has; receivers know its public half


class Signer(Struct, frozen=True, kw_only=True):
    """What signs for an endpoint: while a secret is being replaced, the last one does as well."""

    scheme: Scheme
    secret: bytes
    previous_secret: bytes | None = None
    previous_until: datetime | None = None

    def signatures(self, message_id: str, at: datetime, body: bytes) -> str:
        """The value of the header `webhook-signature`."""
        message = b"%s.%d.%s" % (message_id.encode(), int(at.timestamp()), body)
        return " ".join(_signature(self.scheme, each, message) for each in self._secrets(at))

    def rotated(self, secret: bytes, *, at: datetime, overlap: timedelta) -> "Signer":
        """With another secret from now on, and the one of until now for a while."""
        return Signer(
            scheme=self.scheme,
            secret=secret,
            previous_secret=self.secret,
            previous_until=at + overlap,
        )

    @property
    def shown(self) -> str:
        """What receivers verify by: the secret, or the public key."""
        if self.scheme is Scheme.HMAC:
            return f"whsec_{_base64(self.secret)}"
        public = Ed25519PrivateKey.from_private_bytes(self.secret).public_key()
        return f"whpk_{_base64(public.public_bytes_raw())}"

    def _secrets(self, at: datetime) -> Sequence[bytes]:
        is_replaced = self.previous_until is not None and at < self.previous_until
        if is_replaced and self.previous_secret is not None:
            return (self.secret, self.previous_secret)
        return (self.secret,)


def _signature(scheme: Scheme, secret: bytes, message: bytes) -> str:
    if scheme is Scheme.HMAC:
        return f"v1,{_base64(hmac.digest(secret, message, hashlib.sha256))}"
    return f"v1a,{_base64(Ed25519PrivateKey.from_private_bytes(secret).sign(message))}"


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def check_events(names: Collection[str] | None) -> tuple[FeedKind, ...]:
    """The events that somebody asks for, in our order; all of them, if they name none.

    Raises:
        InvalidRequestError: there is none of that name, or none at all.
    """
    if names is None:
        return EVENTS
    known = {each.value for each in EVENTS}
    if not names or not set(names) <= known:
        text = f"events must be some of {', '.join(each.value for each in EVENTS)}"
        raise InvalidRequestError(text, field="events")
    return tuple(each for each in EVENTS if each.value in names)


def check_scheme(name: str | None) -> Scheme:
    """The scheme of a name; HMAC if none is named.

    Raises:
        InvalidRequestError: there is none of that name.
    """
    try:
        return Scheme(name or Scheme.HMAC)
    except ValueError:
        text = f"scheme must be {' or '.join(Scheme)}"
        raise InvalidRequestError(text, field="scheme") from None


class Outcome(Struct, frozen=True, kw_only=True):
    """How an attempt went: the status of an answer, or why there was none."""

    status: int | None
    error: str | None
    latency_ms: int
    retry_after: timedelta | None = None

    @property
    def has_arrived(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_unwanted(self) -> bool:
        return self.status == GONE


def delay_after(step: int, outcome: Outcome, chance: float) -> timedelta | None:
    """How long to wait after so many attempts; None: it is given up.

    `chance` (0 to 1) spreads what has failed together; a receiver may ask for more time.
    """
    if outcome.is_unwanted or step > len(LADDER):
        return None
    delay = LADDER[step - 1] * (1 + JITTER * chance)
    return max(delay, min(outcome.retry_after or delay, LADDER[-1]))
