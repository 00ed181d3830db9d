"""The providers, their models and what our clients call them: the one table of model ids.

A deployment changes single lines with GENERATION_MODEL_IDS. Costs
are list prices in micro-USD for one picture, used where an answer does not say what it took.
"""

from collections.abc import Mapping
from typing import Final

from services.generation.domain.capabilities import Capabilities, Model, Polling, Takes, Way

_GEMINI_RATIOS: Final = (
    "1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9",
)  # fmt: skip
_OPENAI_SIZES: Final = ("1024x1024", "1536x1024", "1024x1536")
_IDEOGRAM_RATIOS: Final = (
    "1:3", "3:1", "1:2", "2:1", "9:16", "16:9", "10:16", "16:10", "2:3", "3:2", "3:4", "4:3",
    "4:5", "5:4", "1:1",
)  # fmt: skip
_REVE_RATIOS: Final = ("16:9", "3:2", "4:3", "1:1", "3:4", "2:3", "9:16")
_RECRAFT_SIZES: Final = (
    "1024x1024", "1365x1024", "1024x1365", "1536x1024", "1024x1536", "1820x1024", "1024x1820",
    "1024x2048", "2048x1024", "1434x1024", "1024x1434", "1024x1280", "1280x1024", "1024x1707",
    "1707x1024",
)  # fmt: skip
_RUNWAY_SIZES: Final = (
    "1024x1024", "1080x1080", "1168x880", "1360x768", "1440x1080", "1080x1440", "1808x768",
    "1920x1080", "1080x1920", "2112x912", "1280x720", "720x1280", "720x720", "960x720",
    "720x960", "1680x720",
)  # fmt: skip
_QWEN_SIZES: Final = ("1328x1328", "1664x928", "1472x1140", "1140x1472", "928x1664")
_LUMA_RATIOS: Final = ("1:1", "16:9", "9:16", "4:3", "3:4", "21:9", "9:21")

_RUNWAY_VIDEO_SIZES: Final = (
    "1280x720", "720x1280", "1104x832", "832x1104", "960x960", "1584x672",
)  # fmt: skip
_VEO_SIZES: Final = ("1280x720", "720x1280", "1080x1920", "1920x1080")

Operations = Mapping[str, Takes]


def _edit(images_max: int, masks_max: int = 0) -> Operations:
    return {"edit": Takes(inputs_min=1, inputs_max=images_max + masks_max, masks_max=masks_max)}


def _image(references_max: int) -> Operations:
    return {"image": Takes(inputs_max=references_max)}


def _of_one(operation: str, units_max: int = 0, cost_microusd: int = 0) -> Operations:
    takes = Takes(units_max=units_max, inputs_min=1, inputs_max=1, cost_microusd=cost_microusd)
    return {operation: takes}


def _video(frames_min: int, frames_max: int) -> Operations:
    return {"video": Takes(units_max=1, inputs_min=frames_min, inputs_max=frames_max)}


_OPENAI: Final = {**_image(0), **_edit(15, 1)}
_GEMINI: Final = {**_image(4), **_edit(4)}
_FLUX_PROMPTED: Final = _image(1)
_FLUX_KONTEXT: Final = {**_image(4), **_edit(4)}
_FLUX_2: Final = {**_image(8), **_edit(8)}
_RECRAFT: Final = {
    **_image(0),
    **_edit(1, 1),
    **_of_one("variate"),
    **_of_one("background"),
    **_of_one("upscale", 1, 4_000),
    **_of_one("vectorise", 1, 10_000),
}
_IDEOGRAM: Final = {
    **_image(3),
    **_edit(1, 1),
    **_of_one("background"),
    **_of_one("upscale"),
    **_of_one("describe", 1, 10_000),
}
_LUMA: Final = {**_image(4), **_edit(1)}

OPENAI: Final = Capabilities(
    provider="openai",
    models=(
        Model(
            id="gpt-image-1.5", names=("chatgpt-image",), operations=_OPENAI, sizes=_OPENAI_SIZES,
            cost_microusd=34_000,
        ),
        Model(
            id="gpt-image-1-mini", operations=_OPENAI, sizes=_OPENAI_SIZES, cost_microusd=11_000
        ),
        Model(id="gpt-image-2", operations=_OPENAI, cost_microusd=34_000),
        Model(
            id="chatgpt-image-latest", operations=_OPENAI, sizes=_OPENAI_SIZES,
            cost_microusd=34_000,
        ),
    ),
    units_max=8,
    concurrency=50,
    input_bytes_max=50_000_000,
    inputs_bytes_max=200_000_000,
)  # fmt: skip

GEMINI: Final = Capabilities(
    provider="gemini",
    models=(
        Model(
            id="gemini-3.1-flash-image",
            names=("gemini-2.5-flash-image-preview", "gemini-2.5-flash-image"),
            operations=_GEMINI,
            aspect_ratios=_GEMINI_RATIOS,
            cost_microusd=67_000,
        ),
        Model(
            id="gemini-3.1-flash-lite-image", operations=_GEMINI, aspect_ratios=_GEMINI_RATIOS,
            cost_microusd=39_000,
        ),
        Model(
            id="gemini-3-pro-image",
            names=("gemini-3.0-pro-image",),
            operations=_GEMINI,
            aspect_ratios=_GEMINI_RATIOS,
            cost_microusd=134_000,
        ),
    ),
    units_max=4,
    concurrency=50,
    inputs_bytes_max=14_000_000,  # as base64 they stay below the 20 MB of a request
)  # fmt: skip

FLUX: Final = Capabilities(
    provider="flux",
    models=(
        Model(
            id="flux-pro-1.1", names=("flux-1.1", "flux-t1", "flux-pro"),
            operations=_FLUX_PROMPTED, cost_microusd=40_000, way=Way.BESIDE_PROMPT,
        ),
        Model(
            id="flux-pro-1.1-ultra", names=("flux-t2",), operations=_FLUX_PROMPTED,
            cost_microusd=60_000, way=Way.BESIDE_PROMPT, by_ratio=True,
        ),
        Model(
            id="flux-kontext-pro", names=("flux-e1",), operations=_FLUX_KONTEXT,
            cost_microusd=40_000, by_ratio=True,
        ),
        Model(
            id="flux-kontext-max", names=("flux-e2",), operations=_FLUX_KONTEXT,
            cost_microusd=80_000, by_ratio=True,
        ),
        Model(id="flux-dev", cost_microusd=25_000),
        Model(
            id="flux-pro-1.0-fill", operations=_edit(1, 1), cost_microusd=50_000, way=Way.FILL
        ),
        Model(
            id="flux-pro-1.0-expand", operations=_edit(1), cost_microusd=50_000, way=Way.EXPAND
        ),
        Model(id="flux-2-pro", operations=_FLUX_2, cost_microusd=30_000),
        Model(id="flux-2-max", operations=_FLUX_2, cost_microusd=70_000),
        Model(id="flux-2-flex", operations=_FLUX_2, cost_microusd=50_000),
        Model(id="flux-2-klein-4b", operations=_FLUX_KONTEXT, cost_microusd=14_000),
        Model(id="flux-2-klein-9b", operations=_FLUX_KONTEXT, cost_microusd=15_000),
    ),
    units_max=1,
    concurrency=24,
    input_bytes_max=20_000_000,
    polling=Polling(first_seconds=0.5, seconds_max=10.0),
)  # fmt: skip

IDEOGRAM: Final = Capabilities(
    provider="ideogram",
    models=(
        Model(
            id="ideogram-v3", names=("ideogram",), operations=_IDEOGRAM,
            aspect_ratios=_IDEOGRAM_RATIOS, cost_microusd=60_000,
        ),
    ),
    units_max=8,
    concurrency=10,
)  # fmt: skip

RECRAFT: Final = Capabilities(
    provider="recraft",
    models=(
        Model(
            id="recraftv3", names=("recraft", "recraft-v3"), operations=_RECRAFT,
            sizes=_RECRAFT_SIZES, cost_microusd=40_000,
        ),
        Model(
            id="recraftv2", names=("recraft-v2",), operations=_RECRAFT, sizes=_RECRAFT_SIZES,
            cost_microusd=22_000,
        ),
    ),
    units_max=6,
    concurrency=20,
)  # fmt: skip

REVE: Final = Capabilities(
    provider="reve",
    models=(
        Model(
            id="reve-create@20250915", names=("reve-image", "reve-image-1.0"),
            operations={**_image(6), **_edit(6)}, aspect_ratios=_REVE_RATIOS, cost_microusd=24_000,
        ),
    ),
    units_max=4,
    concurrency=20,
)  # fmt: skip

SEEDREAM: Final = Capabilities(
    provider="seedream",
    models=(
        Model(
            id="seedream-4-0-250828", names=("seedream-3.0", "seedream-4.0"),
            operations={**_image(10), **_edit(10)}, cost_microusd=30_000,
        ),
        Model(
            id="seedream-5-0-260128", names=("seedream-5.0",),
            operations={**_image(10), **_edit(10)}, cost_microusd=35_000,
        ),
    ),
    units_max=4,
    concurrency=20,
)  # fmt: skip

QWEN: Final = Capabilities(
    provider="qwen",
    models=(
        Model(id="qwen-image", sizes=_QWEN_SIZES, cost_microusd=35_000),
        Model(id="qwen-image-plus", sizes=_QWEN_SIZES, cost_microusd=30_000),
        Model(id="qwen-image-max", sizes=_QWEN_SIZES, cost_microusd=75_000),
        Model(id="qwen-image-edit", operations=_edit(3), cost_microusd=45_000),
        Model(id="qwen-image-edit-plus", operations=_edit(3), cost_microusd=30_000),
        Model(id="qwen-image-edit-max", operations=_edit(3), cost_microusd=75_000),
    ),
    units_max=4,
    concurrency=10,
)

RUNWAY: Final = Capabilities(
    provider="runway",
    models=(
        Model(
            id="gen4_image", names=("runway-gen4",), operations=_image(3), sizes=_RUNWAY_SIZES,
            cost_microusd=80_000,
        ),
        Model(
            id="gen4_image_turbo", names=("runway-gen4-turbo",),
            operations={"image": Takes(inputs_min=1, inputs_max=3)}, sizes=_RUNWAY_SIZES,
            cost_microusd=20_000,
        ),
        Model(
            id="gen4_turbo", names=("runway-video-gen4",), operations=_video(1, 1),
            sizes=_RUNWAY_VIDEO_SIZES, cost_microusd=250_000,
        ),
        Model(
            id="gen4.5", operations=_video(0, 1), sizes=_RUNWAY_VIDEO_SIZES, cost_microusd=600_000
        ),
        Model(id="veo3.1", operations=_video(0, 1), sizes=_VEO_SIZES, cost_microusd=3_200_000),
        Model(
            id="veo3.1_fast", operations=_video(0, 1), sizes=_VEO_SIZES, cost_microusd=1_200_000
        ),
    ),
    units_max=1,
    concurrency=10,
    input_bytes_max=3_900_000,  # as a data URL it stays below 5,242,880 characters
    inputs_bytes_max=11_700_000,
    polling=Polling(first_seconds=5.0, seconds_max=8.0),
)  # fmt: skip

LUMA: Final = Capabilities(
    provider="luma",
    models=(
        Model(
            id="photon-1", names=("luma-photon-1",), operations=_LUMA,
            aspect_ratios=_LUMA_RATIOS, cost_microusd=15_000,
        ),
        Model(
            id="photon-flash-1", names=("luma-photon-flash-1",), operations=_LUMA,
            aspect_ratios=_LUMA_RATIOS, cost_microusd=2_000,
        ),
        Model(
            id="ray-2", names=("luma-ray-2",), operations=_video(0, 2),
            aspect_ratios=_LUMA_RATIOS, cost_microusd=710_000,
        ),
        Model(
            id="ray-flash-2", names=("luma-ray-flash-2",), operations=_video(0, 2),
            aspect_ratios=_LUMA_RATIOS, cost_microusd=240_000,
        ),
    ),
    units_max=1,
    concurrency=10,
    polling=Polling(first_seconds=1.0, seconds_max=5.0),
)  # fmt: skip

CATALOGUE: Final[Mapping[str, Capabilities]] = {
    each.provider: each
    for each in (
        OPENAI, GEMINI, FLUX, IDEOGRAM, RECRAFT, REVE, SEEDREAM, QWEN, RUNWAY, LUMA,
    )
}  # fmt: skip
