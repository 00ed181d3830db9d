"""Where each provider is and what opens it: its key, else the simulator that stands in for it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from services.generation.adapters import (
    flux,
    gemini,
    ideogram,
    luma,
    openai,
    qwen,
    recraft,
    reve,
    runway,
    seedream,
)
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
    webhook_secret: str = ""  # the variable of what it signs its calls with, if it makes any
    webhook_path: str = ""  # of the gateway
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
        webhook_secret="BFL_WEBHOOK_SECRET",  # noqa: S106  # a variable's name
        webhook_path="/api/flux/webhook",
    ),
    "ideogram": Door(
        make=ideogram.IdeogramProvider,
        keys=("IDEOGRAM_API_KEY",),
        base_urls=("IDEOGRAM_BASE_URL",),
        base_url=ideogram.BASE_URL,
    ),
    "recraft": Door(
        make=recraft.RecraftProvider,
        keys=("RECRAFT_API_TOKEN", "RECRAFT_API_KEY"),
        base_urls=("RECRAFT_BASE_URL",),
        base_url=recraft.BASE_URL,
        simulated_path="/v1",
    ),
    "reve": Door(
        make=reve.ReveProvider,
        keys=("REVE_API_TOKEN", "REVE_API_KEY"),
        base_urls=("REVE_API_HOST", "REVE_BASE_URL"),
        base_url=reve.BASE_URL,
    ),
    "seedream": Door(
        make=seedream.SeedreamProvider,
        keys=("ARK_API_KEY",),
        base_urls=("ARK_BASE_URL", "ARK_BASE"),
        base_url=seedream.BASE_URL,
        simulated_path="/api/v3",
    ),
    "qwen": Door(
        make=qwen.QwenProvider,
        keys=("DASHSCOPE_API_KEY",),
        base_urls=("DASHSCOPE_HTTP_BASE_URL",),
        base_url=qwen.BASE_URL,
        simulated_path="/api/v1",
    ),
    "runway": Door(
        make=runway.RunwayProvider,
        keys=("RUNWAYML_API_SECRET", "RUNWAY_API_KEY"),
        base_urls=("RUNWAYML_BASE_URL",),
        base_url=runway.BASE_URL,
    ),
    "luma": Door(
        make=luma.LumaProvider,
        keys=("LUMAAI_API_KEY",),
        base_urls=("LUMAAI_BASE_URL",),
        base_url=luma.BASE_URL,
        simulated_path="/dream-machine/v1",
    ),
}


def accesses(
    environment: Mapping[str, str],
    simulators_url: str,
    *,
    webhooks_url: str = "",
    result_hosts: Mapping[str, Sequence[str]] = {},  # nobody writes into it
) -> dict[str, Access]:
    """How to reach each provider that can be: with a key the real one, else its simulator.

    With `webhooks_url`, the gateway's public address, those that can tell by themselves are to;
    real ones call over HTTPS only. `result_hosts` are hosts that providers deliver from besides.
    """
    found: dict[str, Access] = {}
    secrets = webhook_secrets(environment)
    for name, door in DOORS.items():
        key = _first(environment, door.keys)
        if key:
            access = Access(base_url=_first(environment, door.base_urls) or door.base_url, key=key)
        elif simulators_url:
            base_url = f"{simulators_url.rstrip('/')}/{name}{door.simulated_path}"
            access = Access(base_url=base_url, key=SIMULATED_KEY)
        else:
            continue
        reaches = webhooks_url.startswith("https://") or (webhooks_url and not key)
        if reaches and secrets.get(name):
            url = webhooks_url.rstrip("/") + door.webhook_path
            access = replace(access, webhook_url=url, webhook_secret=secrets[name])
        found[name] = replace(access, result_hosts=tuple(result_hosts.get(name, ())))
    return found


def webhook_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """What each provider that can tell by itself signs with; empty: nothing of it is believed."""
    return {
        name: environment.get(door.webhook_secret, "").strip()
        for name, door in DOORS.items()
        if door.webhook_secret
    }


def _first(environment: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((value for name in names if (value := environment.get(name, "").strip())), "")
