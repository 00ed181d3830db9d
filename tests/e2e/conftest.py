"""One system for the whole run: limits raised, ten credits for everybody who signs up."""

from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from tests.e2e.front import OUTSIDE_ISSUER, OUTSIDE_SECRET, Front
from tests.e2e.system import System

SIGNUP_CREDITS = 10
ENVIRONMENT = {
    "GATEWAY_SIGNUP_CREDITS": str(SIGNUP_CREDITS),
    "GATEWAY_GRACE": "0",
    "GATEWAY_RATE_LIMIT_PER_MINUTE": "100000",
    "GATEWAY_FLOOD_LIMIT_PER_MINUTE": "1000000",
    "GATEWAY_OUTSIDE_ISSUER": OUTSIDE_ISSUER,
    "GATEWAY_OUTSIDE_SECRET": OUTSIDE_SECRET,
}


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    system = System(tmp_path_factory.mktemp("system") / "home", ENVIRONMENT)
    system.command("up", "--detach", "--port", "0")
    yield system
    system.command("down")


@pytest.fixture(scope="module")
async def front(system: System) -> AsyncIterator[Front]:
    """The web client's page, with a person of this file alone, who has credits for all of it."""
    url = system.status()["gateway_url"]
    timeout = aiohttp.ClientTimeout(total=120)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        page = await Front(url, session).other()
        user = await page.read("GET", "/api/auth/me")
        await page.read(
            "POST",
            f"/api/admin/accounts/{user['id']}/grants",
            {"credits": 1_000, "reason": "To ask for much."},
            token=await admin_token(page, system),
        )
        yield page


async def admin_token(page: Front, system: System) -> str:
    """A log-in of the first administrator."""
    admin = system.status()["admin"]
    password = (system.home / "admin-password").read_text().strip()
    body = {"email": admin["email"], "password": password}
    said = await page.read("POST", "/api/auth/login", body, token="")
    return str(said["accessToken"])


@pytest.fixture(scope="session")
def spoiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A second system, for what leaves something parked behind."""
    system = System(tmp_path_factory.mktemp("spoiled") / "home", ENVIRONMENT)
    system.command("up", "--detach", "--port", "0")
    yield system
    system.command("down")
