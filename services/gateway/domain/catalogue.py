"""Which providers and models can be asked for, and what each takes."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from libs.events.generation import Operation


class Takes(Struct, frozen=True, kw_only=True):
    """What one operation of a model takes besides its prompt, and how much it can deliver."""

    units_max: int = 1
    inputs_min: int = 0
    inputs_max: int = 0
    masks_max: int = 0  # of the inputs, how many may be masks
    masks_min: int = 0


Operations = Mapping[Operation, Takes]


class Provider(Struct, frozen=True, kw_only=True):
    """What the gateway must know of a provider before it admits a job."""

    name: str
    models: Mapping[str, Operations]
    default_model: str
    prompt_chars_max: int
    aliases: tuple[str, ...] = ()  # what else its routes are called
    answers_base64: bool = False  # the waiting route answers the picture itself, too

    def takes(self, model: str, operation: str) -> Takes | None:
        """What the model takes for it; None if it cannot do it."""
        found = self.models[model]
        return next((found[each] for each in found if each == operation), None)

    def usual_for(self, model: str) -> Operation:
        """What the model is asked for that does nothing else, or if nothing is said: a picture."""
        offered = self.models[model]
        return Operation.IMAGE if Operation.IMAGE in offered else next(iter(offered))

    def default_for(self, operation: Operation) -> str:
        """The model of an order that names none: the usual one, if it can do that."""
        able = (name for name, offered in self.models.items() if operation in offered)
        can = operation in self.models[self.default_model]
        return self.default_model if can else next(able, self.default_model)


def _each(operations: Operations, *models: str) -> dict[str, Operations]:
    return dict.fromkeys(models, operations)


def _image(units_max: int = 1, references_max: int = 0) -> Operations:
    return {Operation.IMAGE: Takes(units_max=units_max, inputs_max=references_max)}


def _edit(units_max: int, images_max: int, masks_max: int = 0, *, masks_min: int = 0) -> Operations:
    takes = Takes(
        units_max=units_max,
        inputs_min=1,
        inputs_max=images_max + masks_max,
        masks_max=masks_max,
        masks_min=masks_min,
    )
    return {Operation.EDIT: takes}


def _of_one_picture(operation: Operation, units_max: int = 1) -> Operations:
    return {operation: Takes(units_max=units_max, inputs_min=1, inputs_max=1)}


def _video(frames_min: int, frames_max: int) -> Operations:
    return {Operation.VIDEO: Takes(inputs_min=frames_min, inputs_max=frames_max)}


_GEMINI: Final = {**_image(4, 4), **_edit(4, 4)}
_OPENAI: Final = {**_image(8), **_edit(8, 15, 1)}
_FLUX_PROMPTED: Final = _image(references_max=1)
_FLUX_KONTEXT: Final = {**_image(references_max=4), **_edit(1, 4)}
_FLUX_2: Final = {**_image(references_max=8), **_edit(1, 8)}
_IDEOGRAM: Final = {
    **_image(8, 3),
    **_edit(8, 1, 1, masks_min=1),
    **_of_one_picture(Operation.BACKGROUND, 8),
    **_of_one_picture(Operation.UPSCALE, 8),
    **_of_one_picture(Operation.DESCRIBE),
}
_RECRAFT: Final = {
    **_image(6),
    **_edit(6, 1, 1),
    **_of_one_picture(Operation.VARIATE, 6),
    **_of_one_picture(Operation.BACKGROUND, 6),
    **_of_one_picture(Operation.UPSCALE),
    **_of_one_picture(Operation.VECTORISE),
}
_LUMA: Final = {**_image(references_max=4), **_edit(1, 1)}

PROVIDERS: Final[Mapping[str, Provider]] = {
    provider.name: provider
    for provider in (
        Provider(
            name="local",
            models=_each(_image(8), "local-sketch"),
            default_model="local-sketch",
            prompt_chars_max=4_000,
            answers_base64=True,
        ),
        Provider(
            name="gemini",
            models=_each(
                _GEMINI,
                "gemini-2.5-flash-image",
                "gemini-2.5-flash-image-preview",
                "gemini-3.1-flash-image",
                "gemini-3.1-flash-lite-image",
                "gemini-3-pro-image",
                "gemini-3.0-pro-image",
            ),
            default_model="gemini-2.5-flash-image",
            prompt_chars_max=10_000,
            answers_base64=True,
        ),
        Provider(
            name="openai",
            models=_each(
                _OPENAI, "chatgpt-image", "gpt-image-1.5", "gpt-image-1-mini", "gpt-image-2"
            ),
            default_model="chatgpt-image",
            prompt_chars_max=32_000,
            aliases=("chatgpt",),
        ),
        Provider(
            name="flux",
            models={
                **_each(_FLUX_PROMPTED, "flux-1.1", "flux-pro-1.1", "flux-t1", "flux-pro"),
                **_each(_FLUX_PROMPTED, "flux-pro-1.1-ultra", "flux-t2"),
                **_each(_image(), "flux-dev"),
                **_each(_FLUX_KONTEXT, "flux-kontext-pro", "flux-e1"),
                **_each(_FLUX_KONTEXT, "flux-kontext-max", "flux-e2"),
                **_each(_FLUX_2, "flux-2-pro", "flux-2-max", "flux-2-flex"),
                **_each(_FLUX_KONTEXT, "flux-2-klein-4b", "flux-2-klein-9b"),
                **_each(_edit(1, 1, 1), "flux-pro-1.0-fill"),
                **_each(_edit(1, 1), "flux-pro-1.0-expand"),
            },
            default_model="flux-1.1",
            prompt_chars_max=2_000,
        ),
        Provider(
            name="ideogram",
            models=_each(_IDEOGRAM, "ideogram", "ideogram-v3"),
            default_model="ideogram",
            prompt_chars_max=10_000,
        ),
        Provider(
            name="recraft",
            models=_each(_RECRAFT, "recraft", "recraft-v3", "recraft-v2"),
            default_model="recraft",
            prompt_chars_max=1_000,
        ),
        Provider(
            name="reve",
            models=_each({**_image(4, 6), **_edit(4, 6)}, "reve-image", "reve-image-1.0"),
            default_model="reve-image",
            prompt_chars_max=2_560,
        ),
        Provider(
            name="seedream",
            models=_each(
                {**_image(4, 10), **_edit(4, 10)}, "seedream-3.0", "seedream-4.0", "seedream-5.0"
            ),
            default_model="seedream-3.0",
            prompt_chars_max=4_000,
        ),
        Provider(
            name="qwen",
            models={
                **_each(_image(4), "qwen-image", "qwen-image-plus", "qwen-image-max"),
                **_each(
                    _edit(4, 3), "qwen-image-edit", "qwen-image-edit-plus", "qwen-image-edit-max"
                ),
            },
            default_model="qwen-image",
            prompt_chars_max=800,
        ),
        Provider(
            name="runway",
            models={
                **_each(_image(references_max=3), "runway-gen4"),
                **_each({Operation.IMAGE: Takes(inputs_min=1, inputs_max=3)}, "runway-gen4-turbo"),
                **_each(_video(1, 1), "runway-video-gen4", "gen4_turbo"),
                **_each(_video(0, 1), "gen4.5", "veo3.1", "veo3.1_fast"),
            },
            default_model="runway-gen4",
            prompt_chars_max=1_000,
        ),
        Provider(
            name="luma",
            models={
                **_each(_LUMA, "luma-photon-1", "luma-photon-flash-1"),
                **_each(_video(0, 2), "luma-ray-2", "luma-ray-flash-2"),
            },
            default_model="luma-photon-1",
            prompt_chars_max=4_000,
        ),
    )
}


# Providers that clients have routes for, and that are not offered here.
ELSEWHERE: Final = frozenset(
    {
        "grok",
        "hailuo",
        "kling",
        "minimax",
        "omnihuman",
        "seedance",
        "sora",
        "veo",
        "wan",
    }
)

# What clients may still ask for although nobody offers it any more, and what to take instead.
RETIRED: Final[Mapping[str, str]] = {
    "gpt-image-1": "gpt-image-1.5",
    "dall-e-2": "gpt-image-1-mini",
    "dall-e-3": "gpt-image-1.5",
    "gen3a_turbo": "gen4_turbo",
    "gen4_aleph": "gen4.5",
}


def provider_named(name: str) -> Provider | None:
    """A provider by its name, or by another one that its routes have."""
    found = PROVIDERS.get(name)
    return found or next((each for each in PROVIDERS.values() if name in each.aliases), None)


def provider_of(model: str) -> Provider | None:
    """The provider that offers a model."""
    return next((each for each in PROVIDERS.values() if model in each.models), None)
