"""From where a provider's results may come."""

from typing import Any

import pytest
from aiohttp.abc import AbstractResolver

from libs.runtime.guard import (
    Allowed,
    ForbiddenAddressError,
    GuardedResolver,
    check_url,
)

ALLOWED = Allowed(hosts=("bfl.ai", "ideogram.ai"), origin="https://api.bfl.ai/v1")
SIMULATED = Allowed(hosts=("bfl.ai",), origin="http://127.0.0.1:8001/flux")


@pytest.mark.parametrize(
    "url",
    [
        "https://bfl.ai/x.png",
        "https://delivery-eu1.bfl.ai/a/b.png?sig=1",
        "https://api.bfl.ai/v1/get_result?id=1",
    ],
)
def test_a_providers_own_hosts_are_allowed(url: str) -> None:
    assert str(check_url(url, ALLOWED, allows_loopback=False)) == url


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/x.png",
        "https://notbfl.ai/x.png",
        "https://bfl.ai.evil.example/x.png",
        "http://bfl.ai/x.png",
        "ftp://bfl.ai/x.png",
        "file:///etc/passwd",
        "https://user:password@bfl.ai/x.png",
        "https://127.0.0.1/x.png",
        "https://10.0.0.1/x.png",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/x.png",
        "https://[::ffff:10.0.0.1]/x.png",
        "https://[64:ff9b::a00:1]/x.png",
        "https://[fe80::1]/x.png",
        "//bfl.ai/x.png",
        "",
        "https://[bad",
    ],
)
def test_all_else_is_refused(url: str) -> None:
    with pytest.raises(ForbiddenAddressError):
        check_url(url, ALLOWED, allows_loopback=False)


def test_loopback_needs_a_setting_and_the_configured_origin() -> None:
    url = "http://127.0.0.1:8001/flux/files/1.png"
    assert check_url(url, SIMULATED, allows_loopback=True)
    with pytest.raises(ForbiddenAddressError):
        check_url(url, SIMULATED, allows_loopback=False)
    with pytest.raises(ForbiddenAddressError):
        check_url("http://127.0.0.1:9/flux/files/1.png", SIMULATED, allows_loopback=True)
    with pytest.raises(ForbiddenAddressError):
        check_url("http://10.0.0.1:8001/flux", SIMULATED, allows_loopback=True)


class Names(AbstractResolver):
    """Knows one name, at these addresses."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[Any]:
        return [{"hostname": host, "host": each, "port": port} for each in self._addresses]

    async def close(self) -> None:
        pass


@pytest.mark.parametrize(
    "addresses",
    [("10.0.0.1",), ("93.184.216.34", "192.168.1.1"), ("::1",), ("100.64.0.1",), ("0.0.0.0",)],
)
async def test_a_name_that_leads_inside_is_refused(addresses: tuple[str, ...]) -> None:
    with pytest.raises(ForbiddenAddressError):
        await GuardedResolver(Names(*addresses)).resolve("delivery.bfl.ai")


async def test_a_name_that_leads_outside_is_resolved() -> None:
    found = await GuardedResolver(Names("93.184.216.34")).resolve("delivery.bfl.ai", 443)
    assert [each["host"] for each in found] == ["93.184.216.34"]
    local = GuardedResolver(Names("127.0.0.1"), allows_loopback=True)
    assert await local.resolve("localhost")
