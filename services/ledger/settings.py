"""The ledger's settings, from environment variables that start with LEDGER_."""

from pydantic_settings import SettingsConfigDict

from libs.runtime.settings import InternalSettings


class Settings(InternalSettings):
    model_config = SettingsConfigDict(env_prefix="LEDGER_")
