"""Our adapters before the simulators, through the queue, as a worker would run them."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from random import Random
from typing import Any

from msgspec.structs import replace

from infra.simulators.app import Studio
from infra.simulators.scripts import Script, Situation
from libs.runtime.testing_http import serving
from services.generation.adapters.doors import DOORS, accesses
from services.generation.adapters.http.client import ProviderHttp
from services.generation.adapters.http.patience import Patience
from services.generation.adapters.http.wire import Access
from services.generation.domain.capabilities import Polling
from services.generation.domain.catalogue import CATALOGUE
from services.generation.ports import AnyProvider
from services.generation.tests.integration.stage import Stage

QUICK = Patience(tries=3, total_seconds=1.0, first_seconds=0.01)
QUICK_POLLING = Polling(first_seconds=0.02, seconds_max=0.05)


class Providers:
    """The simulators, and adapters that know their addresses alone; if `is_live` the real ones."""

    def __init__(self, *, is_live: bool = False) -> None:
        self.is_live = is_live
        self.studio = Studio()
        self.url = ""
        self.http = ProviderHttp(
            random=Random(),  # jitter, not secrets
            allows_loopback=True,
            patience=QUICK,
        )

    async def opened(self, stack: AsyncExitStack) -> "Providers":
        app = self.studio.app()
        self.url = await stack.enter_async_context(serving(app))  # type: ignore[arg-type]
        await stack.enter_async_context(self.http.opened())
        return self

    def adapter(
        self, name: str, *, polling: Polling = QUICK_POLLING, **changes: Any
    ) -> AnyProvider:
        """As the service makes it, but impatient before a simulator."""
        access = replace(self._accesses[name], **changes)
        capabilities = CATALOGUE[name]
        if capabilities.polling is not None and not self.is_live:
            capabilities = replace(capabilities, polling=polling)
        return DOORS[name].make(self.http, access, capabilities)

    @property
    def _accesses(self) -> dict[str, Access]:
        return accesses(os.environ, "") if self.is_live else accesses({}, self.url)

    def can_be_asked(self, name: str) -> bool:
        """A simulator always; a real one with a key."""
        return name in self._accesses

    def tell(self, name: str, situation: Situation, times: int = 1, **fields: float) -> None:
        """What becomes of a provider's next orders."""
        self.studio.simulators[name].scripts.add(Script(situation, **fields), times)

    def orders(self, name: str) -> list[dict[str, Any]]:
        """What has been ordered of it."""
        return list(self.studio.simulators[name].calls)


async def providers_opened(*, is_live: bool = False) -> AsyncIterator[Providers]:
    """For a fixture."""
    async with AsyncExitStack() as stack:
        yield await Providers(is_live=is_live).opened(stack)


def takes_part(stage: Stage, adapter: AnyProvider) -> None:
    """From now on the stage's jobs are for this provider."""
    stage.capabilities = adapter.capabilities
    stage.provider = adapter
