"""Addresses of pictures that not everybody may see: signed, and good for a while.

    attempts/7f/1.png?expires=1764374400&signature=Q1w...

Whoever has such an address needs no log-in, as browsers send none for an image. The service that
gives it out and the one that serves the picture know the same keys; neither asks the other.
"""

import base64
import hmac
import re
from collections.abc import Sequence
from datetime import timedelta
from enum import Enum
from typing import Final, Self

from pydantic import SecretStr

from libs.runtime.clock import Clock
from libs.runtime.settings import AssetSettings

_PURPOSE: Final = b"daygen asset addresses"
_EXPIRES: Final = re.compile(r"[0-9]{1,12}")
_SAME_ADDRESS_PARTS: Final = 8  # for an eighth of its life an address stays the same, for caches


class Signature(Enum):
    """What a signature is worth."""

    GOOD = "good"
    EXPIRED = "expired"
    NONE = "none"  # absent, forged, or another object's


class AssetSigner:
    """Signs with the first key and takes all of them, so that keys can be changed one by one."""

    def __init__(self, keys: Sequence[bytes], clock: Clock, lifetime: timedelta) -> None:
        self._keys = tuple(hmac.digest(key, _PURPOSE, "sha256") for key in keys)
        self._clock = clock
        self._lifetime_seconds = int(lifetime.total_seconds())

    @classmethod
    def of(cls, settings: AssetSettings, clock: Clock) -> Self:
        """Without keys of their own, addresses are signed by what all services know anyway."""
        keys: Sequence[SecretStr] = settings.asset_signing_keys or (settings.internal_secret,)
        lifetime = timedelta(seconds=settings.asset_address_seconds)
        return cls([each.get_secret_value().encode() for each in keys], clock, lifetime)

    def signed(self, key: str) -> str:
        """The key of an object with what makes it an address of a private picture."""
        expires = str(self._expires())
        return f"{key}?expires={expires}&signature={_signature(self._keys[0], key, expires)}"

    def judge(self, key: str, expires: str | None, signature: str | None) -> Signature:
        """Whether an object may be shown to whoever brings this."""
        if expires is None or signature is None or not _EXPIRES.fullmatch(expires):
            return Signature.NONE
        given = signature.encode("utf-8", "replace")
        # All keys are tried, and each in the same time.
        found = [
            hmac.compare_digest(_signature(each, key, expires).encode(), given)
            for each in self._keys
        ]
        if not any(found):
            return Signature.NONE
        is_over = int(expires) <= self._clock.now().timestamp()
        return Signature.EXPIRED if is_over else Signature.GOOD

    def _expires(self) -> int:
        step = max(1, self._lifetime_seconds // _SAME_ADDRESS_PARTS)
        now = int(self._clock.now().timestamp())
        return now - now % step + step + self._lifetime_seconds


def _signature(key: bytes, object_key: str, expires: str) -> str:
    said = f"{expires}\n{object_key}".encode("utf-8", "surrogatepass")
    return base64.urlsafe_b64encode(hmac.digest(key, said, "sha256")).decode().rstrip("=")
