"""What every service reads from its environment. One subclass per service, read by `app.py`."""

import os
import re
import socket
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as SourceError

_PASSWORD_IN_URL: Final = re.compile(r"(?<=://)([^/@:\s]*):[^/@\s]*@")
_QUOTED: Final = re.compile(r'"(\w+)"')
_HIDDEN: Final = "(hidden)"

SigningKey = Annotated[SecretStr, Field(min_length=32)]


class SettingsError(Exception):
    """The environment makes no valid configuration; the text is one sentence for a person."""


def _replica_name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"


class ServiceSettings(BaseSettings):
    """Subclasses set `model_config = SettingsConfigDict(env_prefix="LEDGER_")` and add fields."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(frozen=True, extra="ignore")

    database_dsn: SecretStr
    database_pool_size: int = Field(default=10, ge=1, le=500)
    kafka_bootstrap: str = Field(min_length=1)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    stuck_seconds: float = Field(default=60.0, ge=1)
    verify_interval_seconds: float = Field(default=3600.0, ge=0)  # 0: never
    replica: str = Field(default_factory=_replica_name, min_length=1)

    @classmethod
    def load(cls) -> Self:
        """The settings in this process's environment.

        Raises:
            SettingsError: a variable is missing or does not fit; the text never holds its value.
        """
        try:
            return cls()  # type: ignore[call-arg]  # the fields come from the environment
        except ValidationError as error:
            raise SettingsError(cls._sentence(error)) from None
        except SourceError as error:
            # Lists and objects are read as JSON; the library's text quotes the field's name alone.
            name = _QUOTED.search(str(error))
            variable = cls._variable((name[1] if name else "settings",))
            raise SettingsError(f"Correct {variable}: write it as JSON.") from None

    @property
    def stable_replica(self) -> str | None:
        """The replica's name if somebody gave it: one made up here is another after each start."""
        return self.replica if "replica" in self.model_fields_set else None

    def describe(self) -> dict[str, Any]:
        """Every setting as it may be printed at the start: secrets only as set or empty."""
        return {name: _printable(getattr(self, name)) for name in type(self).model_fields}

    @classmethod
    def _sentence(cls, error: ValidationError) -> str:
        problems = error.errors(include_input=False, include_url=False, include_context=False)
        missing = sorted(
            cls._variable(item["loc"]) for item in problems if item["type"] == "missing"
        )
        if missing:
            return f"Set {', '.join(missing)}: the service cannot start without {_it(missing)}."
        first = problems[0]
        return (
            f"Correct {cls._variable(first['loc'])}: {first['msg'][:1].lower()}{first['msg'][1:]}."
        )

    @classmethod
    def _variable(cls, location: tuple[int | str, ...]) -> str:
        name = str(location[0]) if location else "settings"
        if name.isupper():  # an alias, which stands here as the whole variable already
            return name
        return f"{cls.model_config['env_prefix']}{name}".upper()


class InternalSettings(ServiceSettings):
    """For services that speak to each other: the secret is the same for all of them."""

    internal_secret: SecretStr


class AssetSettings(InternalSettings):
    """For services that give out addresses of pictures, and the one that serves them."""

    # A CDN before the gateway: pictures are at {this}/{key}. Empty: the gateway itself.
    asset_base_url: str = Field(default="", pattern=r"^(https?://.+)?$")
    # The first signs addresses of private pictures, all are taken. None: by the internal secret.
    asset_signing_keys: tuple[SigningKey, ...] = ()
    asset_address_seconds: int = Field(default=7 * 86_400, ge=60, le=365 * 86_400)


class StorageSettings(ServiceSettings):
    """For services that keep objects: the bucket is shared, each writes under its own prefix."""

    s3_endpoint: str = Field(pattern=r"^https?://")
    s3_region: str = Field(min_length=1)
    s3_bucket: str = Field(min_length=1)
    s3_access_key: SecretStr
    s3_secret_key: SecretStr
    # Whether checksums of Amazon's own kind are sent and read wherever they can be.
    s3_checksums: Literal["when_required", "when_supported"] = "when_required"


def _it(names: list[str]) -> str:
    return "it" if len(names) == 1 else "them"


def _printable(value: object) -> object:
    if isinstance(value, SecretStr):
        return _HIDDEN if value.get_secret_value() else "(empty)"
    if isinstance(value, str):
        return _PASSWORD_IN_URL.sub(rf"\1:{_HIDDEN}@", value)
    if isinstance(value, list | tuple | set | frozenset):
        return [_printable(item) for item in value]
    return value
