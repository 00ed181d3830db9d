"""Where clients put their pictures, what each is to the job, and how many a model takes."""

from typing import Any

import pytest

from libs.events.generation import INPUT_ROLES, InputRole
from services.gateway.domain.inputs import Input, given_file, pictures_in
from services.gateway.domain.orders import Draft, Placed, place
from services.gateway.domain.text import InvalidRequestError

IMAGE, MASK, REFERENCE = InputRole.IMAGE, InputRole.MASK, InputRole.REFERENCE


def placed(**draft: Any) -> Placed:
    return place(Draft(**{"prompt": "a fox", **draft}))


def roles(**draft: Any) -> list[tuple[InputRole, Any]]:
    return [(each.role, each.content) for each in placed(**draft).given]


def refusal(**draft: Any) -> str:
    with pytest.raises(InvalidRequestError) as caught:
        placed(**draft)
    return caught.value.message


def test_pictures_are_found_under_all_their_names_and_are_no_options() -> None:
    options = {
        "references": ["b", {"uri": "c", "tag": "ref"}],
        "imageBase64": "a",
        "seed": 1,
        "mask": "m",
        "image": "",
    }
    rest, found = pictures_in(options)
    assert rest == {"seed": 1}
    assert [(each.field, each.content) for each in found] == [
        ("imageBase64", "a"),
        ("references", "b"),
        ("references", "c"),
        ("mask", "m"),
    ]


def test_kontext_takes_its_source_first_and_its_references_in_order() -> None:
    options = {"input_image_3": "3", "input_image": "1", "input_image_2": "2"}
    found = roles(model="flux-kontext-pro", provider_options=options)
    assert found == [(REFERENCE, "1"), (REFERENCE, "2"), (REFERENCE, "3")]


def test_an_edit_works_on_the_first_picture_and_masks_come_last() -> None:
    options = {"mask": "m", "references": ["a", "b"]}
    found = roles(model="chatgpt-image", operation="edit", options=options)
    assert found == [(IMAGE, "a"), (REFERENCE, "b"), (MASK, "m")]


def test_what_is_missing_or_too_much_is_named() -> None:
    assert refusal(provider="ideogram", operation="edit") == "Image file is required"
    one = {"image": "a"}
    assert refusal(provider="ideogram", operation="edit", options=one) == "Mask file is required"
    reframed = {"image": "a", "method": "reframe"}
    text = "Resolution is required"
    assert refusal(provider="ideogram", operation="edit", options=reframed, prompt=None) == text
    remixed = placed(provider="ideogram", operation="edit", options={**one, "method": "remix"})
    assert [each.role for each in remixed.given] == [IMAGE]
    many = {"references": ["a"] * 4}
    text = "runway-gen4 takes at most 3 input images here: send fewer"
    assert refusal(model="runway-gen4", options=many) == text
    text = "flux-dev takes no input image: leave out references"
    assert refusal(model="flux-dev", options=many) == text
    assert refusal(model="runway-gen4-turbo") == "Image file is required"
    assert "mask" in refusal(model="gemini-3-pro-image", options={"mask": "m"})


@pytest.mark.parametrize("operation", ["upscale", "describe"])
def test_what_follows_from_a_picture_needs_no_prompt(operation: str) -> None:
    order = placed(provider="ideogram", operation=operation, prompt=None, options={"image": "a"})
    assert (order.order.prompt, order.order.operation) == ("", operation)


def test_a_provider_alone_means_a_model_that_can_do_it() -> None:
    found = placed(provider="qwen", operation="edit", options={"image": "a"})
    assert found.order.model == "qwen-image-edit"
    assert placed(provider="chatgpt").order.provider == "openai"


def test_no_client_says_itself_what_an_input_is() -> None:
    assert placed(provider="gemini", options={INPUT_ROLES: ["mask"]}).order.options == {}


def test_equal_content_is_an_equal_order_wherever_it_lies() -> None:
    order = placed(provider="gemini").order
    one, two, other = (
        order.with_inputs((Input(role=REFERENCE, sha256=sha256, key=key),))
        for sha256, key in (("1", "monday/1"), ("1", "tuesday/1"), ("2", "monday/2"))
    )
    assert one.fingerprint() == two.fingerprint()
    assert len({order.fingerprint(), one.fingerprint(), other.fingerprint()}) == 3
    assert one.options == {INPUT_ROLES: ["reference"]}


def test_a_file_is_known_by_its_name() -> None:
    found = given_file("image[]", b"")
    assert found is not None
    assert found.role is REFERENCE
    assert given_file("attachment", b"") is None
