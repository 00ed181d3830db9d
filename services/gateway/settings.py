"""The gateway's settings, from environment variables that start with GATEWAY_."""

from datetime import timedelta
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from libs.runtime.settings import AssetSettings, StorageSettings


class Settings(AssetSettings, StorageSettings):
    model_config = SettingsConfigDict(env_prefix="GATEWAY_")

    public_base_url: str = Field(min_length=1)
    cors_origins: tuple[str, ...] = ()

    generation_url: str = Field(min_length=1)
    gallery_url: str = Field(min_length=1)
    ledger_url: str = Field(min_length=1)
    billing_url: str = Field(min_length=1)

    jwt_secret: SecretStr
    outside_issuer: str | None = Field(default=None, min_length=1)
    outside_audience: str = Field(default="authenticated", min_length=1)
    outside_secret: SecretStr | None = None
    outside_keys_url: str | None = Field(default=None, pattern=r"^https?://")
    outside_emails_verified: bool = False
    outside_waits: bool = False  # the client of such log-ins gives a request up after 45 s
    smtp_url: SecretStr | None = None
    mail_from: str = Field(default="DayGen <noreply@localhost>", pattern=r"@")
    client_base_url: str = Field(default="http://localhost:5173", pattern=r"^https?://")
    admin_email: str | None = None
    admin_password_file: Path | None = None
    log_in_attempts: int = Field(default=10, ge=1, le=1_000)
    password_threads: int = Field(default=2, ge=1, le=32)

    signup_credits: int = Field(default=20, ge=0, le=2**53 - 1)
    grace: int = Field(default=0, ge=0, le=2**53 - 1)
    rate_limit_per_minute: int = Field(default=60, ge=1)
    provider_rate_limit_per_minute: int = Field(default=60_000, ge=1)
    credits_per_day: int = Field(default=10_000, ge=0, le=2**53 - 1)
    tokens_per_day: int = Field(default=1_000_000, ge=0, le=2**53 - 1)
    flood_limit_per_minute: int = Field(default=1_200, ge=1)
    streams_per_user: int = Field(default=20, ge=1)  # open at once, on each replica
    wait_seconds: int = Field(default=600, ge=1)
    job_deadline_seconds: int = Field(default=600, ge=1)

    # Models that clients still ask for and nobody offers any more, with what to take instead.
    retired_models: dict[str, str] = Field(default_factory=dict)
    # Whether a picture's address may lead to this machine: for a system on one machine.
    loopback_references: bool = False
    # Whether webhooks may be sent to this machine, and without https: the same.
    loopback_webhooks: bool = False

    @model_validator(mode="after")
    def _has_a_key_of_the_issuer(self) -> Self:
        if self.outside_issuer and not (self.outside_secret or self.outside_keys_url):
            raise ValueError("an outside issuer needs OUTSIDE_SECRET, OUTSIDE_KEYS_URL, or both")
        return self

    @property
    def assets_at(self) -> str:
        """Where pictures are fetched, without a slash at the end."""
        return (self.asset_base_url or f"{self.public_base_url.rstrip('/')}/assets").rstrip("/")

    @property
    def jobs_at(self) -> str:
        """Where jobs are read."""
        return f"{self.public_base_url.rstrip('/')}/api/jobs"

    @property
    def profile_pictures_at(self) -> str:
        """Where people's pictures are fetched."""
        return f"{self.public_base_url.rstrip('/')}/profile-pictures"

    @property
    def patience(self) -> timedelta:
        """How long a waiting route waits."""
        return timedelta(seconds=self.wait_seconds)

    @property
    def job_deadline(self) -> timedelta:
        """After this, generation gives a job up."""
        return timedelta(seconds=self.job_deadline_seconds)
