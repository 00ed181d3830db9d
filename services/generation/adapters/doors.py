"""Where each provider is and what opens it: its key, else the simulator that stands in for it."""

from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct

from services.generation.adapters import flux, gemini, openai
from services.generation.adapters.http.client import ProviderHttp
from services.generation.adapters.http.wire import Access
from services.generation.domain.capabilities import Capabilities
from services.generation.ports import AnyProvider

SIMULATED_KEY: Final = "simulated"

Make = Callable[[ProviderHttp, Access, Capabilities], AnyProvider]


class Door(Struct, frozen=True, kw_only=True):
    """One provider: its adapter, and the variables that lead to the real one."""

    make: Make
    keys: tuple[str, ...]  # the first one that is set
    base_urls: tuple[str, ...]
    base_url: str
    simulated_path: str = ""  # what stands between the simulator's address and the paths


DOORS: Final[Mapping[str, Door]] = {
    "openai": Door(
        make=openai.OpenAIProvider,
        keys=("OPENAI_API_KEY",),
        base_urls=("OPENAI_BASE_URL",),
        base_url=openai.BASE_URL,
        simulated_path="/v1",
    ),
    "gemini": Door(
        make=gemini.GeminiProvider,
        keys=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        base_urls=("GOOGLE_GEMINI_BASE_URL",),
        base_url=gemini.BASE_URL,
    ),
    "flux": Door(
        make=flux.FluxProvider,
        keys=("BFL_API_KEY",),
        base_urls=("BFL_API_BASE",),
        base_url=flux.BASE_URL,
    ),
}


def accesses(environment: Mapping[str, str], simulators_url: str) -> dict[str, Access]:
    """How to reach each provider that can be: with a key the real one, else its simulator."""
    found: dict[str, Access] = {}
    for name, door in DOORS.items():
        key = _first(environment, door.keys)
        if key:
            base_url = _first(environment, door.base_urls) or door.base_url
            found[name] = Access(base_url=base_url, key=key)
        elif simulators_url:
            base_url = f"{simulators_url.rstrip('/')}/{name}{door.simulated_path}"
            found[name] = Access(base_url=base_url, key=SIMULATED_KEY)
    return found


def _first(environment: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((value for name in names if (value := environment.get(name, "").strip())), "")
