"""What an e-mail, a password and a name must look like. The web client matches these texts."""

import re
from enum import StrEnum
from typing import Final

from libs.events.text import is_storable
from services.gateway.domain.text import InvalidRequestError

EMAIL_CHARS_MAX: Final = 254  # RFC 5321: a path is at most 256 octets, brackets included
PASSWORD_CHARS_MIN: Final = 8
PASSWORD_BYTES_MAX: Final = 1024  # hashing costs time in proportion to this
DISPLAY_NAME_CHARS_MAX: Final = 100

_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")


class Role(StrEnum):
    """What a user may do."""

    USER = "USER"
    ADMIN = "ADMIN"


def normalise_email(email: str) -> str:
    """The form under which an address is kept, compared and looked up."""
    return email.strip().lower()


def check_email(email: str | None) -> str:
    """The normalised address.

    Raises:
        InvalidRequestError: this is no e-mail address.
    """
    normalised = normalise_email(email or "")
    fits = len(normalised) <= EMAIL_CHARS_MAX and is_storable(normalised)
    if not fits or not _EMAIL.fullmatch(normalised):
        raise InvalidRequestError("Please enter a valid email address", field="email")
    return normalised


def check_password(password: str | None) -> str:
    """The password as it was sent.

    Raises:
        InvalidRequestError: it is too short or too long.
    """
    if password is None or len(password) < PASSWORD_CHARS_MIN:
        text = f"Password must be at least {PASSWORD_CHARS_MIN} characters"
        raise InvalidRequestError(text, field="password")
    if not is_storable(password) or len(password.encode()) > PASSWORD_BYTES_MAX:
        text = f"Password must be plain text of at most {PASSWORD_BYTES_MAX} bytes"
        raise InvalidRequestError(text, field="password")
    return password


def check_display_name(name: str | None) -> str | None:
    """The trimmed name; none when it is blank.

    Raises:
        InvalidRequestError: it is too long.
    """
    trimmed = (name or "").strip()
    if len(trimmed) > DISPLAY_NAME_CHARS_MAX or not is_storable(trimmed):
        text = f"Display name must be plain text of at most {DISPLAY_NAME_CHARS_MAX} characters"
        raise InvalidRequestError(text, field="displayName")
    return trimmed or None
