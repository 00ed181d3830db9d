"""How often a password may be guessed: leaky buckets per e-mail and address.

Each attempt goes into every bucket that it concerns, before it is looked at: so attempts at the
same time, on whatever replica, count one after the other. One that was right is taken out again.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from msgspec import Struct

WINDOW: Final = timedelta(minutes=15)
# From everywhere together, and from one address at whomever: more, since many may be behind both.
SHARED: Final = 10
_IPV6_HOUSEHOLD: Final = 64  # bits: whoever has one address has all that share them


class Bucket(Struct, frozen=True, kw_only=True):
    """One thing that is counted: `burst` in a window, then one in each `interval`."""

    subject: str
    burst: int

    @property
    def interval(self) -> timedelta:
        """What one attempt adds."""
        return WINDOW / self.burst


Drained: TypeAlias = Mapping[str, datetime]
"""By subject, when its bucket is empty."""


class TooManyGuesses(Struct, frozen=True):
    """Not before this time has passed."""

    retry_after: timedelta


def buckets_of(purpose: str, whom: str, address: str | None, attempts: int) -> list[Bucket]:
    """What an attempt on somebody from an address is counted in.

    Who guesses at one person from one place is stopped first, and stops nobody elsewhere.
    """
    place = household(address)
    return [
        Bucket(subject=f"{purpose}\0both\0{whom}\0{place}", burst=attempts),
        Bucket(subject=f"{purpose}\0whom\0{whom}", burst=attempts * SHARED),
        Bucket(subject=f"{purpose}\0place\0{place}", burst=attempts * SHARED),
    ]


def household(address: str | None) -> str:
    """Who shares an address: of IPv6 a whole network, since one person has as many as they like."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, _IPV6_HOUSEHOLD), strict=False))
    return str(parsed)


def guess(
    buckets: Sequence[Bucket], drained: Drained, now: datetime
) -> dict[str, datetime] | TooManyGuesses:
    """Put an attempt into all buckets, or into none."""
    after = {each.subject: max(drained[each.subject], now) + each.interval for each in buckets}
    excess = max(after.values()) - now - WINDOW
    return TooManyGuesses(excess) if excess > timedelta(0) else after
