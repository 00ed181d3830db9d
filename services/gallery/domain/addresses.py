"""Addresses for one upload each: signed, so that whoever has one needs no log-in."""

import base64
import binascii
import hmac
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from msgspec import Struct

from services.gallery.domain.uploads import Described

_PURPOSE: Final = b"daygen gallery uploads"
_SIGNATURE_BYTES: Final = 32
TOKEN_CHARACTERS_MAX: Final = 4_096


class AddressRefusedError(ValueError):
    """Not given out here, changed, or expired."""


class Grant(Struct, frozen=True, kw_only=True, gc=False):
    """Who may upload what, as what, until when."""

    item_id: UUID
    user_id: UUID
    account_id: UUID
    workspace_id: UUID | None
    extension: str
    described: Described
    expires_at: datetime


class Signer:
    """Makes and reads the last part of an upload's address."""

    def __init__(self, secret: bytes) -> None:
        self._key = hmac.digest(secret, _PURPOSE, "sha256")

    def sign(self, grant: Grant) -> str:
        content = msgspec.json.encode(grant)
        signature = hmac.digest(self._key, content, "sha256")
        return base64.urlsafe_b64encode(signature + content).decode().rstrip("=")

    def open(self, token: str, now: datetime) -> Grant:
        """What was granted.

        Raises:
            AddressRefusedError: nothing, or no longer.
        """
        if len(token) > TOKEN_CHARACTERS_MAX:
            raise AddressRefusedError
        try:
            raw = base64.urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
        except (ValueError, binascii.Error) as error:
            raise AddressRefusedError from error
        signature, content = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, hmac.digest(self._key, content, "sha256")):
            raise AddressRefusedError
        grant = msgspec.json.decode(content, type=Grant)
        if grant.expires_at <= now:
            raise AddressRefusedError
        return grant
