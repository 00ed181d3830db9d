"""From a client's request to an order: texts, bounds, defaults, and equal orders."""

from datetime import timedelta
from typing import Any

import pytest

from libs.runtime.carriers import Carrier, Spool
from services.gateway.domain.orders import Draft, Order
from services.gateway.domain.orders import place as placed
from services.gateway.domain.text import InvalidRequestError

DRAFT: dict[str, Any] = {"provider": "local", "prompt": "a fox"}


def place(draft: Draft, *, needs_model: bool = False) -> Order:
    return placed(draft, needs_model=needs_model).order


def refusal(*, needs_model: bool = False, **draft: Any) -> str:
    with pytest.raises(InvalidRequestError) as caught:
        place(Draft(**draft), needs_model=needs_model)
    return caught.value.message


@pytest.mark.parametrize("prompt", [None, "", "  \n\t "])
def test_a_blank_prompt_is_found_first(prompt: str | None) -> None:
    assert refusal(prompt=prompt, model="unknown", needs_model=True) == "Prompt is required"


def test_a_missing_model_is_found_next() -> None:
    assert refusal(prompt="a fox", needs_model=True) == "Model is required"
    assert refusal(prompt="a fox") == "Model is required"


def test_an_unknown_model_is_named() -> None:
    assert refusal(prompt="a fox", model="dall-e") == "Unsupported model: dall-e"
    assert refusal(**DRAFT, model="dall-e") == "Unsupported model: dall-e"
    assert refusal(prompt="a fox", provider="acme") == "Unsupported provider: acme"


def test_a_provider_alone_means_its_default_model() -> None:
    order = place(Draft(**DRAFT))
    assert (order.provider, order.model, order.operation) == ("local", "local-sketch", "image")


def test_a_model_alone_finds_its_provider() -> None:
    order = place(Draft(prompt="a fox", model="local-sketch"), needs_model=True)
    assert order.provider == "local"


@pytest.mark.parametrize(
    ("model", "operation"),
    [
        ("luma-ray-2", "video"),
        ("gen4_turbo", "video"),
        ("qwen-image-edit", "edit"),
        ("flux-kontext-pro", "image"),
        ("recraft-v3", "image"),
    ],
)
def test_a_model_that_makes_no_pictures_is_asked_for_what_it_does(
    model: str, operation: str
) -> None:
    order = place(
        Draft(prompt="a fox", model=model, options={"image": "a"} if operation != "image" else {})
    )
    assert order.operation == operation


# What the web client sends (its contract, sections 3.2 and 6), and what it has sent before.
SENT = {
    "gemini": ("gemini-2.5-flash-image-preview", "gemini-2.5-flash-image"),
    "flux": (
        "flux-pro-1.1", "flux-pro-1.1-ultra", "flux-kontext-pro", "flux-kontext-max", "flux-pro",
        "flux-dev", "flux-1.1", "flux-t1", "flux-t2", "flux-e1", "flux-e2",
    ),
    "chatgpt": ("chatgpt-image",),
    "ideogram": ("ideogram",),
    "qwen": ("qwen-image",),
    "runway": ("runway-gen4", "runway-gen4-turbo"),
    "reve": ("reve-image-1.0", "reve-image"),
    "recraft": ("recraft-v3", "recraft-v2", "recraft"),
    "seedream": ("seedream-3.0",),
    "luma": ("luma-photon-1", "luma-photon-flash-1"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("provider", "model"), [(name, model) for name, sent in SENT.items() for model in sent]
)
def test_every_model_of_the_web_client_is_offered_with_and_without_its_provider(
    provider: str, model: str
) -> None:
    options = {"references": ["a"]} if model == "runway-gen4-turbo" else {}
    named = place(Draft(prompt="a fox", provider=provider, model=model, options=options))
    alone = place(Draft(prompt="a fox", model=model, options=options), needs_model=True)
    assert named == alone
    assert (named.model, named.operation) == (model, "image")


def test_a_sender_sets_a_deadline_within_ours() -> None:
    ten = timedelta(minutes=10)
    assert place(Draft(**DRAFT)).patience(ten) == ten
    assert place(Draft(**DRAFT, deadline_seconds=30)).patience(ten) == timedelta(seconds=30)
    assert place(Draft(**DRAFT, deadline_seconds=9_999)).patience(ten) == ten


def test_an_unknown_operation_is_refused() -> None:
    assert refusal(**DRAFT, operation="juggle") == "Unsupported operation: juggle"


def test_options_are_read_from_both_places_and_the_nested_ones_win() -> None:
    options = {"seed": 1, "style": None, "size": "1024x1024"}
    order = place(Draft(**DRAFT, options=options, provider_options={"seed": 2, "n": 3}))
    assert order.options == {"seed": 2, "size": "1024x1024"}
    assert order.units == 3


@pytest.mark.parametrize("name", ["n", "num_images"])
@pytest.mark.parametrize("count", [0, 9, -1, 1.0, "2", True, 2**70])
def test_a_count_outside_one_to_eight_is_refused(name: str, count: object) -> None:
    text = f"{name} must be a whole number from 1 to 8"
    assert refusal(**DRAFT, options={name: count}) == text


@pytest.mark.parametrize(
    ("model", "units_max"), [("flux-1.1", 1), ("reve-image", 4), ("recraft", 6), ("ideogram", 8)]
)
def test_no_more_is_admitted_than_the_provider_delivers(model: str, units_max: int) -> None:
    order = place(Draft(prompt="a fox", model=model, options={"n": units_max}))
    assert order.units == units_max
    text = refusal(prompt="a fox", model=model, options={"n": units_max + 1})
    assert text.startswith("n must be ")
    assert str(units_max) in text


def test_an_operation_that_the_model_cannot_do_is_refused() -> None:
    assert (
        refusal(**DRAFT, operation="video") == "local-sketch cannot do video: choose another model"
    )
    text = refusal(prompt="a fox", model="ideogram", operation="edit")
    assert text == "Image file is required"


@pytest.mark.parametrize("prompt", ["x" * 4_001, "nul \0", "half a pair \ud800"])
def test_a_prompt_that_cannot_be_kept_is_refused(prompt: str) -> None:
    assert "Prompt must be plain text" in refusal(provider="local", prompt=prompt)


def test_an_option_that_is_too_long_to_be_text_is_refused() -> None:
    carried = Carrier(Spool(), 0, 600_000)
    for options in ({"note": carried}, {"note": [{"deep": carried}]}):
        assert "short plain text" in refusal(**DRAFT, options=options)


def test_input_images_are_refused_where_the_model_takes_none() -> None:
    for name, value in (("references", ["data:"]), ("imageBase64", "aGk=")):
        text = refusal(**DRAFT, options={name: value})
        assert text == f"local-sketch takes no input image: leave out {name}"
    assert place(Draft(**DRAFT, options={"references": [], "imageBase64": None})).options == {}


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    "options",
    [
        {"a": float("nan")},
        {"a": [float("inf")]},
        {"a": {"b": 2**53}},
        {"a": "\0"},
        {"\ud800": 1},
        {"a": "x" * 20_000},
        nested(50_000),
    ],
    ids=["nan", "infinity", "integer", "nul", "surrogate", "long", "deep"],
)
def test_hostile_options_are_refused(options: dict[str, Any]) -> None:
    assert "Options " in refusal(**DRAFT, options=options)


def test_equal_orders_have_equal_fingerprints_however_they_were_written() -> None:
    one = place(Draft(**DRAFT, options={"seed": 1, "size": "s"}))
    two = place(
        Draft(prompt=" a fox ", model="local-sketch", provider_options={"size": "s", "seed": 1})
    )
    other = place(Draft(**DRAFT, options={"seed": 2, "size": "s"}))
    assert one.fingerprint() == two.fingerprint()
    assert one.fingerprint() != other.fingerprint()
