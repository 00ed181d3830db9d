"""The gallery's settings, from environment variables that start with GALLERY_."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from libs.runtime.settings import InternalSettings, StorageSettings


class Settings(InternalSettings, StorageSettings):
    model_config = SettingsConfigDict(env_prefix="GALLERY_")

    public_base_url: str = Field(pattern=r"^https?://")  # assets are at {this}/assets/{key}
    # A CDN before the bucket: assets are at {this}/{key}. Without it the gateway serves them.
    asset_base_url: str | None = Field(default=None, pattern=r"^https?://")
