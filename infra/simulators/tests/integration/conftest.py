"""The simulators, served as long as a test lasts."""

from collections.abc import AsyncIterator

import pytest

from infra.simulators.app import Studio
from infra.simulators.tests.integration.simulated import Simulated
from libs.runtime.testing_http import serving


@pytest.fixture
async def simulated() -> AsyncIterator[Simulated]:
    studio = Studio()
    async with serving(studio.app()) as url:  # type: ignore[arg-type]  # any ASGI application
        yield Simulated(studio, url)
