"""Generation's settings, from environment variables that start with GENERATION_."""

from typing import Annotated

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from libs.runtime.settings import InternalSettings, StorageSettings

Host = Annotated[str, Field(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+$")]


class Settings(InternalSettings, StorageSettings):
    model_config = SettingsConfigDict(env_prefix="GENERATION_")

    worker_slots: int = Field(default=8, ge=1, le=2000)  # attempts at once in this process
    lease_seconds: float = Field(default=10.0, ge=0.3)  # renewed three times in each
    grace_seconds: float = Field(default=8.0, ge=0)  # to finish in when told to stop
    sweep_delay_seconds: float = Field(default=60.0, ge=0)  # longer than a lease, see README
    upload_budget_bytes: int = Field(default=128 * 1024 * 1024, ge=1)  # jobs wait for it
    # Where the simulators are: they stand in for every provider without a key of its own.
    simulators_url: str = Field(default="", pattern=r"^(https?://.*)?$")
    # Whether a provider's results may lie on this machine: for simulators.
    loopback_results: bool = False
    # Hosts that results come from besides those we know, by provider; all that lies below them too.
    result_hosts: dict[str, tuple[Host, ...]] = Field(default_factory=dict)
    # Where the gateway is for providers that tell by themselves; empty: they are asked alone.
    webhooks_url: str = Field(default="", pattern=r"^(https?://.*)?$")
    # Calls at once that providers bear over all replicas, where that is not what the table says.
    concurrency: dict[str, Annotated[int, Field(ge=1, le=100_000)]] = Field(default_factory=dict)
    # Calls that may begin in a minute over all replicas; without a line as many as there are.
    per_minute: dict[str, Annotated[int, Field(ge=1, le=1_000_000)]] = Field(default_factory=dict)
    # Changes to the table of models: what a name means, and what one picture of it costs us.
    model_ids: dict[str, str] = Field(default_factory=dict)
    costs_microusd: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
