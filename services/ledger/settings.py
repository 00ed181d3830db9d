"""The ledger's settings, from environment variables that start with LEDGER_."""

from pathlib import Path

from pydantic import SecretStr
from pydantic_settings import SettingsConfigDict

from libs.runtime.settings import InternalSettings


class Settings(InternalSettings):
    """`receipt_keys` wins over `receipt_keys_file`; without both there are no receipts."""

    model_config = SettingsConfigDict(env_prefix="LEDGER_")

    receipt_keys_file: Path | None = None
    receipt_keys: SecretStr | None = None
