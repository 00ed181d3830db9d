"""Which addresses may be fetched because somebody named them: public networks alone.

A URL comes from outside: from a client, or from a provider, whose host must then be one that it
delivers from. Every address that a name resolves to is checked where the connection is made, so
that nothing can change between the check and the use.
"""

import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from msgspec import Struct
from yarl import URL

NAT64 = IPv6Network("64:ff9b::/96")


class ForbiddenAddressError(ValueError):
    """Somebody named an address that is none of the public internet, or none of their own."""


class Allowed(Struct, frozen=True, kw_only=True):
    """From where one provider's results may come."""

    hosts: tuple[str, ...] = ()  # with everything below them
    origin: str = ""  # the configured base address: its own scheme, host and port are trusted


def check_url(text: str, allowed: Allowed, *, allows_loopback: bool) -> URL:
    """The URL, if results may come from there.

    Raises:
        ForbiddenAddressError: they may not.
    """
    url = check_public_url(text, allows_loopback=allows_loopback)
    host = url.host or ""
    literal = _literal(host)
    if url.scheme != "https" and not (literal is not None and literal.is_loopback):
        raise ForbiddenAddressError(f"no https: {url.scheme}://{host}")
    is_own = allowed.origin != "" and url.origin() == URL(allowed.origin).origin()
    if not is_own and not any(_is_below(host, known) for known in allowed.hosts):
        raise ForbiddenAddressError(f"not a host of this provider: {host}")
    return url


def check_public_url(text: str, *, allows_loopback: bool) -> URL:
    """The URL, if nothing that it says itself leads inside; names are checked on resolving.

    Raises:
        ForbiddenAddressError: it does.
    """
    try:
        url = URL(text)
        host, _ = url.host or "", url.port
    except ValueError as error:
        raise ForbiddenAddressError(f"no URL: {text[:200]!r}") from error
    if url.scheme not in {"http", "https"} or not host:
        raise ForbiddenAddressError(f"no http address: {text[:200]!r}")
    if url.user is not None or url.password is not None:
        raise ForbiddenAddressError(f"credentials in the URL at {host}")
    literal = _literal(host)
    is_inside = literal is not None and not is_public(literal)
    if is_inside and not (allows_loopback and literal is not None and literal.is_loopback):
        raise ForbiddenAddressError(f"a private address: {host}")
    return url


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether it is out there, also when it is wrapped as an IPv6 address."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast and not address.is_reserved


class GuardedResolver(AbstractResolver):
    """Finds only addresses of the public internet; a name that has any other one is refused."""

    def __init__(
        self, inner: AbstractResolver | None = None, *, allows_loopback: bool = False
    ) -> None:
        self._inner = inner or ThreadedResolver()
        self._allows_loopback = allows_loopback

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        _require_public(host, found, allows_loopback=self._allows_loopback)
        return found

    async def close(self) -> None:
        await self._inner.close()


def _require_public(host: str, found: Sequence[ResolveResult], *, allows_loopback: bool) -> None:
    for each in found:
        address = ip_address(each["host"].partition("%")[0])
        if not is_public(address) and not (allows_loopback and address.is_loopback):
            raise ForbiddenAddressError(f"{host} is at a private address")


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _is_below(host: str, known: str) -> bool:
    return host == known or host.endswith(f".{known}")
