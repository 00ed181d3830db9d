"""What each input of a request is for."""

import pytest

from libs.events.generation import INPUT_ROLES, InputRole, input_roles

IMAGE, MASK, REFERENCE = InputRole.IMAGE, InputRole.MASK, InputRole.REFERENCE


def test_without_a_word_the_operation_says_it() -> None:
    assert input_roles("image", 2, {}) == [REFERENCE, REFERENCE]
    assert input_roles("edit", 2, {}) == [IMAGE, REFERENCE]
    assert input_roles("upscale", 1, {}) == [IMAGE]
    assert input_roles("video", 0, {}) == []


def test_the_option_says_it_better() -> None:
    assert input_roles("edit", 2, {INPUT_ROLES: ["image", "mask"]}) == [IMAGE, MASK]


@pytest.mark.parametrize("given", [["image"], ["image", "cat"], "image", [1, 2]])
def test_roles_that_do_not_fit_are_refused(given: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        input_roles("edit", 2, {INPUT_ROLES: given})
