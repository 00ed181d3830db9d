"""The gallery's settings, from environment variables that start with GALLERY_."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from libs.runtime.settings import AssetSettings, StorageSettings


class Settings(AssetSettings, StorageSettings):
    model_config = SettingsConfigDict(env_prefix="GALLERY_")

    public_base_url: str = Field(pattern=r"^https?://")  # assets are at {this}/assets/{key}
