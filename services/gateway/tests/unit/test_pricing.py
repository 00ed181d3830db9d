"""What a request costs: rules before defaults, and files that cannot be price books."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from libs.events.generation import Operation
from services.gateway.domain.orders import Order
from services.gateway.domain.pricing import (
    BOOK_BYTES_MAX,
    UNIT_CREDITS_MAX,
    InvalidPriceBookError,
    Rule,
    UnpricedOperationError,
    check_book,
    price,
    quality_of,
    read_book,
    size_of,
)

PROFILES = Path(__file__).parents[4] / "infra" / "prices"

PRICES = {each.value: 1 for each in Operation} | {"upscale": 2, "video": 5}
ORDER = Order(
    operation="image", provider="local", model="local-sketch", prompt="a fox", options={}, units=1
)


def written(**changes: Any) -> bytes:
    return json.dumps({"operations": PRICES, **changes}).encode()


def rule(name: str, **changes: Any) -> dict[str, Any]:
    return {"name": name, "operation": "image", "credits": 3, **changes}


def test_every_operation_has_its_default() -> None:
    book = check_book(written())
    found = {name: price(book, replace(ORDER, operation=name)).unit_credits for name in PRICES}
    assert found == {
        "image": 1,
        "edit": 1,
        "describe": 1,
        "variate": 1,
        "vectorise": 1,
        "background": 1,
        "upscale": 2,
        "video": 5,
    }


def test_the_first_rule_that_fits_prices_a_request() -> None:
    rules = [
        rule("bulk", units_min=4, credits=2, model="local-sketch"),
        rule("large-and-fine", size="2048x2048", quality="high", credits=9),
        rule("large", size="2048x2048", credits=7),
        rule("sketch", model="local-sketch", credits=4),
        rule("local", provider="local", credits=5),
    ]
    book = check_book(written(rules=rules))
    large = {"width": 2048, "height": "2048"}

    def priced(**changes: Any) -> tuple[int, str]:
        found = price(book, replace(ORDER, **changes))
        return found.unit_credits, found.rule

    assert priced() == (4, "sketch")
    assert priced(units=4, options=large) == (2, "bulk")
    assert priced(options=large) == (7, "large")
    assert priced(options={"size": " 2048*2048", "quality": "HIGH"}) == (9, "large-and-fine")
    assert priced(model="another") == (5, "local")
    assert priced(model="another", provider="other") == (1, "default")
    assert priced(operation="video") == (5, "default")


@pytest.mark.parametrize(
    ("options", "size", "quality"),
    [
        ({}, None, None),
        ({"size": "1328*1328", "rendering_speed": "TURBO"}, "1328x1328", "turbo"),
        ({"width": 64, "height": 4096}, "64x4096", None),
        ({"width": "0064", "height": "4096"}, "64x4096", None),
        ({"width": 64}, None, None),
        ({"width": 64.5, "height": 64}, None, None),
        ({"resolution": "1080P", "quality": "Low"}, "1080p", "low"),
        ({"size": 5, "quality": 5}, None, None),
    ],
)
def test_clients_say_size_and_quality_in_their_ways(
    options: dict[str, Any], size: str | None, quality: str | None
) -> None:
    assert (size_of(options), quality_of(options)) == (size, quality)


def test_a_price_that_the_book_lacks_is_an_error_not_a_gift() -> None:
    with pytest.raises(UnpricedOperationError):
        price(read_book('{"operations":{}}'), ORDER)


BROKEN: tuple[tuple[bytes, str], ...] = (
    (b"", "not a price book"),
    (b"{", "not a price book"),
    (b"[]", "not a price book"),
    (b"\xff", "not a price book"),
    (b"[" * 100_000, "nested"),
    (b"{}", "operations"),
    (b" " * (BOOK_BYTES_MAX + 1), "at most"),
    (written(surprise=1), "surprise"),
    (written(operations={**PRICES, "teleport": 1}), "no operation 'teleport'"),
    (written(operations={"image": 1}), "no price"),
    (written(operations={**PRICES, "image": -1}), ">= 0"),
    (written(operations={**PRICES, "image": 1.5}), "int"),
    (written(operations={**PRICES, "image": 1.0}), "int"),
    (written(operations={**PRICES, "image": "1"}), "int"),
    (written(operations={**PRICES, "image": None}), "int"),
    (written(operations={**PRICES, "image": 2**53}), "<="),
    (written(operations={**PRICES, "image": UNIT_CREDITS_MAX + 1}), "<="),
    (written(operations={**PRICES, "image": 10**400}), "price book"),
    (b'{"operations":{},"operations":{}}', "stands twice"),
    (written(rules=[rule("default")]), "may not be called"),
    (written(rules=[rule("one"), rule("one", model="x")]), "Two rules"),
    (written(rules=[rule("all"), rule("late", model="x")]), "never be reached"),
    (written(rules=[rule("a", units_min=2), rule("b", units_min=3)]), "never be reached"),
    (written(rules=[rule("big", size="1024*1024")]), "fit nothing"),
    (written(rules=[rule("fine", quality="High")]), "fit nothing"),
    (written(rules=[rule("", model="x")]), "not a price book"),
    (written(rules=[rule("x", operation="teleport")]), "teleport"),
    (written(rules=[rule("x", units_min=9)]), "<="),
    (written(rules=[rule("x", discount=1)]), "discount"),
    (written(rules=[rule(f"r{n}", model=f"m{n}") for n in range(301)]), "length"),
    (written(name="\0"), "plain text"),
    (written(accounts={"signup_credits": -1, "grace": 0}), ">= 0"),
    (written(accounts={"signup_credits": 1}), "grace"),
)


@pytest.mark.parametrize(("body", "sentence"), BROKEN)
def test_a_file_that_is_no_price_book_is_refused(body: bytes, sentence: str) -> None:
    with pytest.raises(InvalidPriceBookError, match=sentence):
        check_book(body)


names = st.sampled_from([None, "a", "b"])
rules_of_books = st.builds(
    Rule,
    name=st.just("x"),
    operation=st.sampled_from([Operation.IMAGE, Operation.VIDEO]),
    credits=st.integers(0, 9),
    provider=names,
    model=names,
    size=names,
    quality=names,
    units_min=st.integers(1, 8),
)
orders = st.builds(
    Order,
    operation=st.sampled_from(["image", "video", "edit"]),
    provider=st.sampled_from(["a", "b"]),
    model=st.sampled_from(["a", "b"]),
    prompt=st.just("a fox"),
    options=st.builds(lambda size, quality: {"size": size, "quality": quality}, names, names),
    units=st.integers(1, 8),
)


@given(earlier=rules_of_books, later=rules_of_books, order=orders)
def test_a_rule_that_covers_another_fits_all_that_it_fits(
    earlier: Rule, later: Rule, order: Order
) -> None:
    if earlier.covers(later) and later.fits(order):
        assert earlier.fits(order)


@given(rules=st.lists(rules_of_books, max_size=6), order=orders)
def test_every_order_has_exactly_the_price_of_the_first_rule_that_fits(
    rules: list[Rule], order: Order
) -> None:
    named = tuple(replace(each, name=f"rule-{place}") for place, each in enumerate(rules))
    book = replace(check_book(written()), rules=named)
    found = price(book, order)
    fitting = [each for each in named if each.fits(order)]
    expected = (
        (fitting[0].credits, fitting[0].name) if fitting else (PRICES[order.operation], "default")
    )
    assert (found.unit_credits, found.rule) == expected
    assert 0 <= found.unit_credits <= UNIT_CREDITS_MAX


@pytest.mark.parametrize(("profile", "grace"), [("head", 50), ("seed-time", 0)])
def test_the_shipped_profiles_are_books(profile: str, grace: int) -> None:
    book = check_book((PROFILES / f"{profile}.json").read_bytes())
    assert book.operations == PRICES
    assert book.accounts is not None
    assert (book.accounts.signup_credits, book.accounts.grace) == (20, grace)
