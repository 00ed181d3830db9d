"""The gallery's settings, from environment variables that start with GALLERY_."""

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from libs.runtime.settings import ServiceSettings


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="GALLERY_", frozen=True, extra="ignore")

    public_base_url: str = Field(pattern=r"^https?://")  # assets are at {this}/assets/{key}
    s3_endpoint: str = Field(pattern=r"^https?://")
    s3_region: str = Field(min_length=1)
    s3_bucket: str = Field(min_length=1)
    s3_access_key: SecretStr
    s3_secret_key: SecretStr
