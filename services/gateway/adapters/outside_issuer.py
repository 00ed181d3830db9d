"""Tokens of an outside issuer: a shared secret (HS256), or public keys from an address (JWKS).

What kind of key a token is verified with, our configuration decides, never the token alone: a
public key can so never be taken for a secret. Keys are kept and fetched again when they are old, or
when a token names one that is not among them; not more often than every half minute.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp
import jwt
import msgspec
import structlog
from pydantic import SecretStr

from libs.events.text import is_storable
from libs.runtime.auth import LEEWAY, SECRET_BYTES_MIN, TOKEN_OPTIONS
from libs.runtime.clock import Clock
from libs.runtime.errors import Unauthorized, Unavailable
from services.gateway.ports import OutsidePerson

TOKEN_CHARACTERS_MAX: Final = 8_192
KEYS_SECONDS: Final = 600.0  # how old keys may grow before they are fetched again
FETCH_SECONDS: Final = 30.0  # at least, from one fetch to the next
ANSWER_SECONDS: Final = 5.0
KEYS_BYTES_MAX: Final = 256 * 1024
KEYS_MAX: Final = 50
SUBJECT_CHARS_MAX: Final = 255
_SHARED: Final = "HS256"
_PUBLIC: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"})

logger = structlog.get_logger(__name__)


class IssuerUnavailable(Unavailable):
    """Nothing was learnt of the issuer's keys yet: nobody can say whether a token is good."""

    code = "issuer_unavailable"

    def __init__(self) -> None:
        super().__init__("The log-in service does not answer: try again in a moment.")


class OutsideIssuer:
    """Verifies one issuer's tokens."""

    def __init__(
        self,
        *,
        issuer: str,
        audience: str,
        secret: SecretStr | None,
        keys_url: str | None,
        trusts_emails: bool,
        clock: Clock,
    ) -> None:
        """`trusts_emails`: the issuer lets nobody in whose e-mail it has not verified."""
        self._issuer = issuer
        self._audience = audience
        self._secret = secret.get_secret_value().encode() if secret else None
        if self._secret is not None and len(self._secret) < SECRET_BYTES_MIN:
            raise ValueError(f"The outside issuer's secret is too short: {SECRET_BYTES_MIN} bytes.")
        self._trusts_emails = trusts_emails
        self._clock = clock
        self._keys = KeySet(keys_url, clock) if keys_url else None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """The time in which keys can be fetched."""
        if self._keys is None:
            yield
            return
        async with self._keys.opened():
            yield

    def has_issued(self, token: str) -> bool:
        """Whether a token says so; nothing is verified."""
        if len(token) > TOKEN_CHARACTERS_MAX:
            return False
        try:
            claims = jwt.decode(token, options={"verify_signature": False})
        except (jwt.PyJWTError, ValueError, RecursionError):
            return False
        return claims.get("iss") == self._issuer

    async def verify(self, token: str) -> OutsidePerson:
        """Who a token is for.

        Raises:
            Unauthorized: not the issuer's, for another audience, changed, or expired.
            IssuerUnavailable: its keys were never got.
        """
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError):  # half a character cannot even be encoded
            raise _refused() from None
        key, algorithm = await self._key_of(header)
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self._audience,
                issuer=self._issuer,
                options=TOKEN_OPTIONS,
            )
            return self._person(claims)
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, OSError):
            raise _refused() from None

    async def _key_of(self, header: Mapping[str, Any]) -> tuple[Any, str]:
        algorithm, name = header.get("alg"), header.get("kid")
        if algorithm == _SHARED and self._secret is not None:
            return self._secret, _SHARED
        if algorithm in _PUBLIC and self._keys is not None and isinstance(name, str):
            key = await self._keys.find(name)
            if key is not None and key.algorithm_name == algorithm:
                return key.key, key.algorithm_name
        raise _refused()

    def _person(self, claims: Mapping[str, Any]) -> OutsidePerson:
        now = self._clock.now()
        issued_at, expires_at = _time(claims["iat"]), _time(claims["exp"])
        starts_at = _time(claims.get("nbf", claims["iat"]))
        subject = claims["sub"]
        if expires_at + LEEWAY <= now:
            raise Unauthorized("Session expired: log in again.")
        if max(issued_at, starts_at) > now + LEEWAY:
            raise ValueError("from the future")
        if not subject or len(subject) > SUBJECT_CHARS_MAX or not is_storable(subject):
            raise ValueError("no subject")
        email = claims.get("email")
        is_verified = self._trusts_emails or claims.get("email_verified") is True
        return OutsidePerson(
            issuer=self._issuer,
            subject=subject,
            email=email if is_verified and isinstance(email, str) else None,
            issued_at=issued_at,
            expires_at=expires_at,
        )


class KeySet:
    """An issuer's public keys, by their names."""

    def __init__(self, url: str, clock: Clock) -> None:
        self._url = url
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._keys: dict[str, jwt.PyJWK] | None = None
        self._fetched_at: float | None = None  # monotonic; when it was last tried
        self._fetching = asyncio.Lock()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """The time in which keys can be fetched."""
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as self._session:
            yield
        self._session = None

    async def find(self, name: str) -> jwt.PyJWK | None:
        """A key of this name; None: the issuer has none.

        Raises:
            IssuerUnavailable: it never said which it has.
        """
        if self._is_due(name):
            async with self._fetching:
                if self._is_due(name):  # nobody else has just done so
                    await self._fetch()
        if self._keys is None:
            raise IssuerUnavailable
        return self._keys.get(name)

    def _is_due(self, name: str) -> bool:
        if self._fetched_at is None:
            return True
        age = self._clock.monotonic() - self._fetched_at
        return age >= (KEYS_SECONDS if name in (self._keys or {}) else FETCH_SECONDS)

    async def _fetch(self) -> None:
        """Take what the issuer says; while it says nothing, what it said last holds."""
        try:
            self._keys = _usable(await self._answer())
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            logger.warning("issuer_keys_not_fetched", error=repr(error))
        finally:
            self._fetched_at = self._clock.monotonic()  # now: whoever comes meanwhile waits for it

    async def _answer(self) -> bytes:
        if self._session is None:
            raise OSError("not open")
        async with self._session.get(self._url, allow_redirects=False) as response:
            if response.status != 200:
                raise ValueError(f"status {response.status}")
            body = b""
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > KEYS_BYTES_MAX:
                    raise ValueError("the key set is too large")
            return body


def _usable(body: bytes) -> dict[str, jwt.PyJWK]:
    """The public keys for signatures; others, and what we cannot read, are passed over."""
    said = msgspec.json.decode(body)
    listed = said.get("keys") if isinstance(said, dict) else None
    if not isinstance(listed, list):
        raise ValueError("no key set")  # noqa: TRY004  # what it is, is the sender's fault
    keys = {}
    for each in listed[:KEYS_MAX]:
        if not isinstance(each, dict) or each.get("use", "sig") != "sig":
            continue
        try:
            key = jwt.PyJWK.from_dict(each)
        except (jwt.PyJWTError, ValueError, TypeError):
            continue
        if key.algorithm_name in _PUBLIC and isinstance(key.key_id, str):
            keys[key.key_id] = key
    return keys


def _time(seconds: Any) -> datetime:
    return datetime.fromtimestamp(float(seconds), UTC)


def _refused() -> Unauthorized:
    """One text for everything that is wrong with a token: a forger learns nothing."""
    return Unauthorized("Unauthorized: log in again.")
