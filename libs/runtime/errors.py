"""The errors that a caller can understand, by kind. Each service hangs its own codes below them.

DomainError
|-- BadRequest            malformed or missing input
|-- Unauthorized          nobody, or nobody we know
|-- PaymentRequired       not enough credits
|-- Forbidden             known, but not allowed
|-- NotFound              absent, or somebody else's
|-- Conflict              clashes with what is there
|-- PayloadTooLarge       more bytes than allowed
|-- Unprocessable         understood and refused: moderation, a reused key, a retired model
|-- TooManyRequests       a limit, with the time after which to come back
|-- Unsupported           known to us, not offered here
|-- BadGateway            a third party failed
|-- Unavailable           a part of ours is down
`-- GatewayTimeout        the answer did not come in time

Nothing here knows HTTP: `libs/runtime/http` alone turns a kind into a status.
"""

import re
from collections.abc import Mapping
from enum import StrEnum, auto
from typing import Any, ClassVar, Final

_CODE: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


class Kind(StrEnum):
    """What sort of refusal an error is; every code belongs to exactly one."""

    BAD_REQUEST = auto()
    UNAUTHORIZED = auto()
    PAYMENT_REQUIRED = auto()
    FORBIDDEN = auto()
    NOT_FOUND = auto()
    CONFLICT = auto()
    PAYLOAD_TOO_LARGE = auto()
    UNPROCESSABLE = auto()
    TOO_MANY_REQUESTS = auto()
    UNSUPPORTED = auto()
    BAD_GATEWAY = auto()
    UNAVAILABLE = auto()
    GATEWAY_TIMEOUT = auto()


class DomainError(Exception):
    """A refusal with a stable machine code and one sentence that says what to do.

    Subclass a kind, set `code`, and pass JSON-able `details` for what a program may want to read.
    Raised from an event handler it means "deterministic": the event is parked, not retried. So an
    outage (`Unavailable`, `BadGateway`, `GatewayTimeout`) has `is_transient` set.
    """

    kind: ClassVar[Kind]
    code: ClassVar[str]
    is_transient: ClassVar[bool] = False
    retry_after_seconds: float | None = None  # where asking again by then is worth it

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if not _CODE.fullmatch(cls.code):
            raise TypeError(f"{cls.__name__}.code is {cls.code!r}: write it in snake_case")

    def __init__(self, message: str, *, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details: dict[str, Any] = dict(details or {})


class BadRequest(DomainError):
    kind = Kind.BAD_REQUEST
    code = "bad_request"


class Unauthorized(DomainError):
    kind = Kind.UNAUTHORIZED
    code = "unauthorized"


class PaymentRequired(DomainError):
    kind = Kind.PAYMENT_REQUIRED
    code = "payment_required"


class Forbidden(DomainError):
    kind = Kind.FORBIDDEN
    code = "forbidden"


class NotFound(DomainError):
    kind = Kind.NOT_FOUND
    code = "not_found"


class Conflict(DomainError):
    kind = Kind.CONFLICT
    code = "conflict"


class PayloadTooLarge(DomainError):
    kind = Kind.PAYLOAD_TOO_LARGE
    code = "payload_too_large"


class Unprocessable(DomainError):
    kind = Kind.UNPROCESSABLE
    code = "unprocessable"


class TooManyRequests(DomainError):
    kind = Kind.TOO_MANY_REQUESTS
    code = "too_many_requests"
    retry_after_seconds: float

    def __init__(
        self,
        message: str,
        *,
        retry_after_seconds: float,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message, details=details)
        self.retry_after_seconds = retry_after_seconds


class Unsupported(DomainError):
    kind = Kind.UNSUPPORTED
    code = "unsupported"


class BadGateway(DomainError):
    kind = Kind.BAD_GATEWAY
    code = "bad_gateway"
    is_transient = True


class Unavailable(DomainError):
    kind = Kind.UNAVAILABLE
    code = "unavailable"
    is_transient = True


class GatewayTimeout(DomainError):
    kind = Kind.GATEWAY_TIMEOUT
    code = "gateway_timeout"
    is_transient = True
