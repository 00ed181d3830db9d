"""Billing's settings, from environment variables that start with BILLING_."""

from typing import Annotated, Any

import msgspec
from pydantic import BeforeValidator, Field, InstanceOf
from pydantic_settings import SettingsConfigDict

from libs.runtime.settings import InternalSettings
from services.billing.domain.bills import BillFormat


def _format(given: Any) -> Any:
    """A format as it stands in the environment."""
    return given if isinstance(given, BillFormat) else msgspec.convert(given, BillFormat)


class Settings(InternalSettings):
    model_config = SettingsConfigDict(env_prefix="BILLING_")

    # By provider, which columns of its bills mean what; one that is not named has the usual ones.
    bill_formats: dict[str, Annotated[InstanceOf[BillFormat], BeforeValidator(_format)]] = Field(
        default_factory=dict
    )
