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
        Provider(
            name="gemini",
            models=(
                "gemini-2.5-flash-image",
                "gemini-2.5-flash-image-preview",
                "gemini-3.1-flash-image",
                "gemini-3.1-flash-lite-image",
                "gemini-3-pro-image",
            ),
            default_model="gemini-2.5-flash-image",
            prompt_chars_max=10_000,
            answers_base64=False,
        ),
        Provider(
            name="openai",
            models=("chatgpt-image", "gpt-image-1.5", "gpt-image-1-mini", "gpt-image-2"),
            default_model="chatgpt-image",
            prompt_chars_max=32_000,
            answers_base64=False,
        ),
        Provider(
            name="flux",
            models=(
                "flux-1.1",
                "flux-pro-1.1",
                "flux-pro-1.1-ultra",
                "flux-kontext-pro",
                "flux-kontext-max",
                "flux-dev",
                "flux-pro",
                "flux-t1",
                "flux-t2",
                "flux-e1",
                "flux-e2",
                "flux-2-pro",
                "flux-2-max",
                "flux-2-flex",
            ),
            default_model="flux-1.1",
            prompt_chars_max=2_000,
            answers_base64=False,
        ),
        Provider(
            name="ideogram",
            models=("ideogram", "ideogram-v3"),
            default_model="ideogram",
            prompt_chars_max=10_000,
            answers_base64=False,
        ),
        Provider(
            name="recraft",
            models=("recraft", "recraft-v3", "recraft-v2"),
            default_model="recraft",
            prompt_chars_max=1_000,
            answers_base64=False,
        ),
        Provider(
            name="reve",
            models=("reve-image", "reve-image-1.0"),
            default_model="reve-image",
            prompt_chars_max=2_560,
            answers_base64=False,
        ),
        Provider(
            name="seedream",
            models=("seedream-3.0", "seedream-4.0", "seedream-5.0"),
            default_model="seedream-3.0",
            prompt_chars_max=4_000,
            answers_base64=False,
        ),
        Provider(
            name="qwen",
            models=("qwen-image", "qwen-image-plus", "qwen-image-max"),
            default_model="qwen-image",
            prompt_chars_max=800,
            answers_base64=False,
        ),
        Provider(
            name="runway",
            models=("runway-gen4",),
            default_model="runway-gen4",
            prompt_chars_max=1_000,
            answers_base64=False,
        ),
        Provider(
            name="luma",
            models=("luma-photon-1", "luma-photon-flash-1"),
            default_model="luma-photon-1",
            prompt_chars_max=4_000,
            answers_base64=False,
        ),
    )
}


def provider_of(model: str) -> Provider | None:
    """The provider that offers a model."""
    return next((each for each in PROVIDERS.values() if model in each.models), None)
