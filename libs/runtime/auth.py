"""Who is calling: browsers' tokens, the gateway's tokens for other services, FastAPI's door."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal, NoReturn, TypeAlias
from uuid import UUID

import jwt
from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from jwt.types import Options
from msgspec import Struct
from pydantic import SecretStr
from structlog.contextvars import bind_contextvars

from libs.events.names import Service
from libs.runtime.clock import Clock
from libs.runtime.errors import Forbidden, Unauthorized

Role: TypeAlias = Literal["USER", "ADMIN"]

SECRET_BYTES_MIN: Final = 32
USER_TOKEN_LIFETIME: Final = timedelta(days=7)
INTERNAL_TOKEN_LIFETIME: Final = timedelta(seconds=60)
LEEWAY: Final = timedelta(seconds=5)  # clocks of two machines may differ by that much
_CACHE_AGE_MAX: Final = timedelta(seconds=60)
_CACHED_TOKENS_MAX: Final = 10_000
_TOKEN_CHARACTERS_MAX: Final = 4_096
_ALGORITHM: Final = "HS256"
_ISSUER: Final = Service.GATEWAY.source
_USER_AUDIENCE: Final = "daygen-client"
_ROLES: Final = frozenset({"USER", "ADMIN"})
TOKEN_OPTIONS: Final[Options] = {
    # Times are checked by the clock that was passed in, not by PyJWT.
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
    "require": ["sub", "exp", "iat", "aud", "iss"],
}


class Principal(Struct, frozen=True, kw_only=True):
    """The acting user and the account that pays: a personal account has its user's id.

    `expires_at` is when the log-in ends: a stream opened with it must not outlive it. A log-in is
    one of its user's `session_epoch`, and ends early when another epoch begins. Who comes with an
    API key has that key's id and may do what its `scopes` say; a log-in has neither. Whoever
    `is_outside` was logged in by another issuer.
    """

    user_id: UUID
    role: Role
    account_id: UUID
    workspace_id: UUID | None = None
    workspace_role: str | None = None
    session_id: UUID | None = None
    session_epoch: int | None = None
    expires_at: datetime | None = None
    api_key_id: UUID | None = None
    scopes: frozenset[str] | None = None
    is_outside: bool = False

    @property
    def is_admin(self) -> bool:
        return self.role == "ADMIN"


class UserTokens:
    """The tokens that the gateway gives to browsers; verifying one again is a look-up."""

    def __init__(
        self, secret: SecretStr, clock: Clock, *, lifetime: timedelta = USER_TOKEN_LIFETIME
    ) -> None:
        self._signer = _Signer(secret, clock)
        self._clock = clock
        self._lifetime = lifetime
        self._verified: OrderedDict[str, tuple[datetime, Principal]] = OrderedDict()

    def issue(self, user_id: UUID, role: Role, session_id: UUID, *, session_epoch: int = 0) -> str:
        """A token for a log-in, good as long as its user's epoch is this one."""
        claims = {
            "sub": str(user_id),
            "role": role,
            "sid": str(session_id),
            "epoch": session_epoch,
        }
        return self._signer.sign(claims, _USER_AUDIENCE, self._lifetime)

    def verify(self, token: str) -> Principal:
        """The user behind a token. Whether it was revoked, the user's row tells.

        Raises:
            Unauthorized: not ours, changed, or expired.
        """
        now = self._clock.now()
        cached = self._verified.get(token)
        if cached is not None and now < cached[0]:
            return cached[1]
        self._verified.pop(token, None)
        claims = self._signer.open(token, _USER_AUDIENCE)
        principal = _user(claims)
        self._remember(token, principal, now)
        return principal

    def _remember(self, token: str, principal: Principal, now: datetime) -> None:
        expires_at = principal.expires_at or now
        self._verified[token] = (min(expires_at, now + _CACHE_AGE_MAX), principal)
        if len(self._verified) > _CACHED_TOKENS_MAX:
            self._verified.popitem(last=False)


class InternalTokens:
    """What the gateway tells a route's owner about the caller: for one service, for a minute."""

    def __init__(self, secret: SecretStr, clock: Clock) -> None:
        self._signer = _Signer(secret, clock)

    def issue(self, principal: Principal, audience: Service) -> str:
        """A token for one request that the gateway passes on."""
        claims = {
            "sub": str(principal.user_id),
            "role": principal.role,
            "acc": str(principal.account_id),
            "wid": None if principal.workspace_id is None else str(principal.workspace_id),
            "wrl": principal.workspace_role,
        }
        return self._signer.sign(claims, audience.value, INTERNAL_TOKEN_LIFETIME)

    def verify(self, token: str, audience: Service) -> Principal:
        """The caller that the gateway vouches for.

        Raises:
            Unauthorized: not the gateway's, for another service, or expired.
        """
        return _internal(self._signer.open(token, audience.value))

    def verifier(self, audience: Service) -> Callable[[str], Principal]:
        """`verify` for one service, as `require_principal` takes it."""
        return lambda token: self.verify(token, audience)


class _Signer:
    def __init__(self, secret: SecretStr, clock: Clock) -> None:
        self._key = secret.get_secret_value().encode()
        if len(self._key) < SECRET_BYTES_MIN:
            raise ValueError(
                f"A signing secret has {len(self._key)} bytes: set one of at least "
                f"{SECRET_BYTES_MIN} random bytes."
            )
        self._clock = clock

    def sign(self, claims: Mapping[str, Any], audience: str, lifetime: timedelta) -> str:
        now = self._clock.now()
        times = {"iat": int(now.timestamp()), "exp": int((now + lifetime).timestamp())}
        return jwt.encode(
            {**claims, **times, "iss": _ISSUER, "aud": audience}, self._key, algorithm=_ALGORITHM
        )

    def open(self, token: str, audience: str) -> dict[str, Any]:
        """The claims of a genuine, live token of that audience."""
        if len(token) > _TOKEN_CHARACTERS_MAX:
            _refuse()
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._key,
                algorithms=[_ALGORITHM],
                audience=audience,
                issuer=_ISSUER,
                options=TOKEN_OPTIONS,
            )
            issued_at = _time(claims["iat"])
            expires_at = _time(claims["exp"])
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, OSError):
            _refuse()
        now = self._clock.now()
        if expires_at + LEEWAY <= now:
            raise Unauthorized("Session expired: log in again.")
        if issued_at > now + LEEWAY:
            _refuse()
        return claims


def _user(claims: Mapping[str, Any]) -> Principal:
    user_id = _uuid(claims, "sub")
    return Principal(
        user_id=user_id,
        role=_role(claims),
        account_id=user_id,
        session_id=_uuid(claims, "sid"),
        session_epoch=_epoch(claims),
        expires_at=_time(claims["exp"]),
    )


def _internal(claims: Mapping[str, Any]) -> Principal:
    workspace_role = claims.get("wrl")
    return Principal(
        user_id=_uuid(claims, "sub"),
        role=_role(claims),
        account_id=_uuid(claims, "acc"),
        workspace_id=None if claims.get("wid") is None else _uuid(claims, "wid"),
        workspace_role=None if workspace_role is None else str(workspace_role),
    )


def _uuid(claims: Mapping[str, Any], name: str) -> UUID:
    try:
        return UUID(claims.get(name))
    except (ValueError, TypeError, AttributeError):
        _refuse()


def _epoch(claims: Mapping[str, Any]) -> int:
    epoch = claims.get("epoch")
    if type(epoch) is not int:  # a bool is none, either
        _refuse()
    return epoch


def _role(claims: Mapping[str, Any]) -> Role:
    role = claims.get("role")
    if role not in _ROLES:
        _refuse()
    return role  # type: ignore[no-any-return]  # one of the two, as just checked


def _time(seconds: Any) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)


def _refuse() -> NoReturn:
    """One text for everything that is wrong with a token: a forger learns nothing."""
    raise Unauthorized("Unauthorized: log in again.")


Verify: TypeAlias = Callable[[str], Principal]
RequirePrincipal: TypeAlias = Callable[..., Awaitable[Principal]]
FindPrincipal: TypeAlias = Callable[..., Awaitable[Principal | None]]

_bearer: Final = HTTPBearer(auto_error=False, bearerFormat="JWT", scheme_name="bearer")
Credentials: TypeAlias = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


def token_of(credentials: HTTPAuthorizationCredentials | None) -> str:
    """The token of an `Authorization: Bearer` header; routes ask for it as `Credentials`.

    Raises:
        Unauthorized: there is none.
    """
    if credentials is None or not credentials.credentials:
        raise Unauthorized("Unauthorized: send a bearer token.")
    return credentials.credentials


def bearer_of(header: str | None) -> str:
    """The token in the value of an `Authorization` header.

    Raises:
        Unauthorized: there is none.
    """
    scheme, _, token = (header or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthorized("Unauthorized: send a bearer token.")
    return token.strip()


def require_principal(verify: Verify) -> RequirePrincipal:
    """A dependency that answers the caller, and puts who it is on the request's log lines.

    Asynchronous like all of our dependencies: a plain `def` would cost a hop to a thread.
    """

    async def principal_of(credentials: Credentials) -> Principal:
        principal = verify(token_of(credentials))
        bind_contextvars(user_id=str(principal.user_id))
        if principal.workspace_id is not None:
            bind_contextvars(workspace_id=str(principal.workspace_id))
        return principal

    return principal_of


def find_principal(verify: Verify) -> FindPrincipal:
    """A dependency that answers the caller, or None for one who comes without a token."""
    required = require_principal(verify)

    async def principal_of(credentials: Credentials) -> Principal | None:
        return None if credentials is None else await required(credentials)

    return principal_of


def require_admin(principal_of: RequirePrincipal) -> RequirePrincipal:
    """A dependency that answers the caller if it is an administrator."""

    async def admin_of(principal: Annotated[Principal, Depends(principal_of)]) -> Principal:
        if not principal.is_admin:
            raise Forbidden("Only an administrator may do this.")
        return principal

    return admin_of
