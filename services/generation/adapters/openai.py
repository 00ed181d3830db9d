"""OpenAI's image models: one call, the pictures as base64 in its JSON.

Facts: the provider sheet, section 6 (from the official SDK 3.52 and OpenAPI of August 2026).
"""

from typing import Any

from libs.events.generation import CostSource, FailureCode, InputRole
from services.generation.adapters.answers import item, items, number, text
from services.generation.adapters.base import Adapter, is_edit, mask_of, prompt_of
from services.generation.adapters.http.bodies import Field, FilePart
from services.generation.adapters.http.client import Answer
from services.generation.adapters.http.wire import code_of, picture_in, refused
from services.generation.adapters.options import form_text, present, size_of, text_of
from services.generation.domain.capabilities import Model
from services.generation.ports import Provider, ProviderRequest, ProviderResult

BASE_URL = "https://api.openai.com/v1"
TIMEOUT_SECONDS = 300.0
PASSED_ON = ("quality", "background", "output_format", "output_compression", "moderation")
# What the web client offers from the days of older models -> what the present ones call it.
QUALITIES = {"standard": "medium", "hd": "high"}
SIZES = {"256x256": "1024x1024", "512x512": "1024x1024"}
COLOURS = frozenset({"white", "black"})  # of a background: they are asked for in words
MODERATED = frozenset({"moderation_blocked", "content_policy_violation"})
OUT_OF_CREDIT = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
# Micro-USD for a million tokens: input text, input images, output (gpt-image-1-mini).
MINI = "gpt-image-1-mini"
TOKEN_PRICES = {MINI: (2_000_000, 2_500_000, 8_000_000)}


class OpenAIProvider(Adapter, Provider):
    """`POST /images/generations`, and `/images/edits` with pictures as multipart."""

    async def generate(self, request: ProviderRequest) -> ProviderResult:
        model = self._model(request)
        body = _body(model, request)
        if is_edit(request):
            answer = await self._wire.post_form(
                "/images/edits", _form(body, request), timeout_seconds=TIMEOUT_SECONDS
            )
        else:
            answer = await self._wire.post(
                "/images/generations", body, timeout_seconds=TIMEOUT_SECONDS
            )
        pictures = [each["b64_json"] for each in items(answer.json, "data") if "b64_json" in each]
        if not pictures:
            raise refused(FailureCode.BAD_OUTPUT, f"no picture in: {answer.text}")
        usage = item(answer.json, "usage")
        return ProviderResult(
            pictures=[picture_in(each) for each in pictures],
            input_tokens=number(usage, "input_tokens"),
            output_tokens=number(usage, "output_tokens"),
            cost_microusd=_cost(model, usage, len(pictures)),
            cost_source=CostSource.LISTED,
        )

    @staticmethod
    def classify(answer: Answer) -> FailureCode:
        """Its `code` says more than its status."""
        code = text(item(answer.json, "error"), "code")
        if code in MODERATED:
            return FailureCode.MODERATION
        return FailureCode.CREDIT if code in OUT_OF_CREDIT else code_of(answer.status)


def _body(model: Model, request: ProviderRequest) -> dict[str, Any]:
    options, prompt = dict(request.options), prompt_of(request)
    if (colour := str(options.get("background"))) in COLOURS:
        options["background"] = "opaque"
        prompt = f"{prompt}\n\nThe background is plain {colour}."
    for name, older in (("quality", QUALITIES), ("size", SIZES)):
        if (today := older.get(str(options.get(name)))) is not None:
            options[name] = today
    return {
        "model": model.id,
        "prompt": prompt,
        "n": request.units,
        **present(size=size_of(model, options), user=text_of(options, "user")),
        **{name: options[name] for name in PASSED_ON if name in options},
    }


def _form(body: dict[str, Any], request: ProviderRequest) -> list[Field]:
    """One picture is called `image`, several are called `image[]`; the mask's place is its own."""
    pictures = request.inputs_for(InputRole.IMAGE, InputRole.REFERENCE)
    name = "image" if len(pictures) == 1 else "image[]"
    mask, fidelity = mask_of(request), text_of(request.options, "input_fidelity")
    return [
        *((name, form_text(value)) for name, value in body.items()),
        *((("input_fidelity", fidelity),) if fidelity else ()),
        *((name, FilePart(each)) for each in pictures),
        *((("mask", FilePart(mask)),) if mask else ()),
    ]


def _cost(model: Model, usage: dict[str, Any], pictures: int) -> int:
    """From the tokens where their price is known, else by the picture."""
    prices = TOKEN_PRICES.get(model.id)
    if prices is None or not usage:
        return model.cost_microusd * pictures
    details = item(usage, "input_tokens_details")
    image_tokens = number(details, "image_tokens")
    text_tokens = number(usage, "input_tokens") - image_tokens
    spent = (text_tokens, image_tokens, number(usage, "output_tokens"))
    return sum(count * price for count, price in zip(spent, prices, strict=True)) // 1_000_000
