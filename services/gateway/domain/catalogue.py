"""Which providers and models can be asked for, and what each takes."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from msgspec import Struct


class Operation(StrEnum):
    """What can be done; the price book has a price for each."""

    IMAGE = "image"


class Provider(Struct, frozen=True, kw_only=True):
    """What the gateway must know of a provider before it admits a job."""

    name: str
    models: tuple[str, ...]
    default_model: str
    prompt_chars_max: int
    answers_base64: bool  # the waiting route answers the picture itself, besides its address
    output_tokens_per_unit: int = 0  # what the provider is expected to report for one


PROVIDERS: Final[Mapping[str, Provider]] = {
    provider.name: provider
    for provider in (
        Provider(
            name="local",
            models=("local-sketch",),
            default_model="local-sketch",
            prompt_chars_max=4_000,
            answers_base64=True,
        ),
    )
}


def provider_of(model: str) -> Provider | None:
    """The provider that offers a model."""
    return next((each for each in PROVIDERS.values() if model in each.models), None)
