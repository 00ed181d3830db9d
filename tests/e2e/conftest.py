"""One system for the whole run: limits raised, ten credits for everybody who signs up."""

from collections.abc import Iterator

import pytest

from tests.e2e.system import System

SIGNUP_CREDITS = 10
ENVIRONMENT = {
    "GATEWAY_SIGNUP_CREDITS": str(SIGNUP_CREDITS),
    "GATEWAY_GRACE": "0",
    "GATEWAY_RATE_LIMIT_PER_MINUTE": "100000",
    "GATEWAY_FLOOD_LIMIT_PER_MINUTE": "1000000",
}


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    system = System(tmp_path_factory.mktemp("system") / "home", ENVIRONMENT)
    system.command("up", "--detach", "--port", "0")
    yield system
    system.command("down")


@pytest.fixture(scope="session")
def spoiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A second system, for what leaves something parked behind."""
    system = System(tmp_path_factory.mktemp("spoiled") / "home", ENVIRONMENT)
    system.command("up", "--detach", "--port", "0")
    yield system
    system.command("down")
