"""What is asked of each provider in the table of docs/providers.md: every operation, every way."""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from libs.events.generation import InputRole

IMAGE, MASK, REFERENCE = InputRole.IMAGE, InputRole.MASK, InputRole.REFERENCE
STYLE, CHARACTER, LAST_FRAME = InputRole.STYLE, InputRole.CHARACTER, InputRole.LAST_FRAME


class Row(Struct, frozen=True, kw_only=True):
    """One operation of a provider, as one of its models does it."""

    model: str
    operation: str = "image"
    method: str = ""
    roles: tuple[InputRole, ...] = ()
    options: Mapping[str, Any] = {}
    has_prompt: bool = True
    content_type: str = ""  # of what comes, if it is no plain picture; "text" if it is words

    @property
    def label(self) -> str:
        """As the table calls it."""
        how = self.method or ("with references" if self.operation == "image" and self.roles else "")
        return f"{self.operation}, {how}" if how else self.operation


def _edit(model: str, *roles: InputRole, method: str = "", **options: Any) -> Row:
    return Row(model=model, operation="edit", method=method, roles=(IMAGE, *roles), options=options)


def _work(operation: str, model: str, *, prompt: bool = False, **more: Any) -> Row:
    return Row(model=model, operation=operation, roles=(IMAGE,), has_prompt=prompt, **more)


def _video(model: str, *roles: InputRole, method: str) -> Row:
    return Row(model=model, operation="video", method=method, roles=roles, content_type="video/mp4")


# What the web client offers, though the present models know none of it.
OF_OLDER_MODELS: Final = {"quality": "standard", "background": "white", "size": "512x512"}

ROWS: Final[Mapping[str, tuple[Row, ...]]] = {
    "openai": (
        Row(model="chatgpt-image", options=OF_OLDER_MODELS),
        _edit("chatgpt-image", REFERENCE, MASK),
    ),
    "gemini": (
        Row(model="gemini-2.5-flash-image"),
        Row(model="gemini-2.5-flash-image", roles=(REFERENCE, REFERENCE)),
        _edit("gemini-2.5-flash-image", REFERENCE),
    ),
    "flux": (
        Row(model="flux-1.1"),
        Row(model="flux-pro-1.1", roles=(REFERENCE,)),
        _edit("flux-kontext-pro", REFERENCE),
        _edit("flux-pro-1.0-fill", MASK, method="fill"),
        _edit("flux-pro-1.0-expand", method="expand", left=64, right=64),
        _edit("flux-2-pro", REFERENCE, REFERENCE, method="flux-2"),
    ),
    "ideogram": (
        Row(model="ideogram"),
        Row(model="ideogram", roles=(STYLE, CHARACTER)),
        _edit("ideogram", MASK, method="edit"),
        _edit("ideogram", method="remix", image_weight="60"),
        _edit("ideogram", method="reframe", resolution="1280x800"),
        _work("background", "ideogram", prompt=True),
        _work("upscale", "ideogram", options={"resemblance": "60", "detail": "90"}),
        _work("describe", "ideogram", content_type="text"),
    ),
    "recraft": (
        Row(model="recraft-v3"),
        _edit("recraft-v3", MASK),
        _work("variate", "recraft-v3", options={"size": "1024x1024"}),
        _work(
            "variate", "recraft-v3", prompt=True, method="image_to_image", options={"strength": 0.4}
        ),
        _work("background", "recraft-v3", prompt=True, method="replace"),
        _work("background", "recraft-v3", method="remove"),
        _work("upscale", "recraft-v3"),
        _work("vectorise", "recraft-v3", content_type="image/svg+xml"),
    ),
    "reve": (
        Row(model="reve-image"),
        Row(model="reve-image", roles=(REFERENCE, REFERENCE)),
        _edit("reve-image"),
        _edit("reve-image", REFERENCE, method="remix"),
    ),
    "seedream": (
        Row(model="seedream-4.0"),
        Row(model="seedream-4.0", roles=(REFERENCE, REFERENCE)),
        _edit("seedream-4.0"),
    ),
    "qwen": (
        Row(model="qwen-image"),
        _edit("qwen-image-edit", REFERENCE),
    ),
    "runway": (
        Row(model="runway-gen4"),
        Row(model="runway-gen4-turbo", roles=(REFERENCE, REFERENCE), options={"tags": ["cat"]}),
        _video("runway-video-gen4", IMAGE, method="from a frame"),
        _video("gen4.5", method="from a prompt"),
    ),
    "luma": (
        Row(model="luma-photon-1"),
        Row(model="luma-photon-1", roles=(REFERENCE, STYLE, CHARACTER)),
        _edit("luma-photon-1"),
        _video("luma-ray-2", IMAGE, LAST_FRAME, method="from frames"),
        _video("luma-ray-2", method="from a prompt"),
    ),
}

ROUNDS: Final = max(map(len, ROWS.values()))
# Those of a label are how a row is told apart, not what an adapter is told.
SAID: Final = frozenset({
    "edit", "remix", "reframe", "image_to_image", "replace", "remove",
})  # fmt: skip
