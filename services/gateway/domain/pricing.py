"""What a request costs, from an immutable price book that the database's clock has chosen.

A book has a price per unit for every operation, and rules before that for what differs: the first
rule that fits a request prices it, otherwise its operation does.
"""

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from libs.events.generation import Operation
from libs.events.text import is_storable
from services.gateway.domain.orders import INTEGER_MAX, UNITS_MAX, Order

BOOK_BYTES_MAX: Final = 262_144
RULES_MAX: Final = 300
# Whatever a request asks for, its price is an integer that every JSON reader keeps exact.
UNIT_CREDITS_MAX: Final = INTEGER_MAX // UNITS_MAX
DEFAULT_RULE: Final = "default"

_RULE_NAME: Final = r"^[a-z0-9][a-z0-9._-]{0,63}$"
_SIDE: Final = re.compile(r"[0-9]{1,6}")

Credits = Annotated[int, Meta(ge=0, le=UNIT_CREDITS_MAX)]
Balance = Annotated[int, Meta(ge=0, le=INTEGER_MAX)]
Text = Annotated[str, Meta(min_length=1, max_length=100)]


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A price per unit for requests that are all of what is said here."""

    name: Annotated[str, Meta(pattern=_RULE_NAME)]
    operation: Operation
    credits: Credits
    provider: Text | None = None
    model: Text | None = None
    size: Text | None = None
    quality: Text | None = None
    units_min: Annotated[int, Meta(ge=1, le=UNITS_MAX)] = 1

    def fits(self, order: Order) -> bool:
        """Whether the rule prices this order, if none before it does."""
        asked = (order.provider, order.model, size_of(order.options), quality_of(order.options))
        wanted = (self.provider, self.model, self.size, self.quality)
        return (
            self.operation == order.operation
            and order.units >= self.units_min
            and all(each in {None, given} for each, given in zip(wanted, asked, strict=True))
        )

    def covers(self, later: "Rule") -> bool:
        """Whether every order that the later rule fits is one that this rule fits."""
        mine = (self.provider, self.model, self.size, self.quality)
        others = (later.provider, later.model, later.size, later.quality)
        return (
            self.operation == later.operation
            and self.units_min <= later.units_min
            and all(each in {None, other} for each, other in zip(mine, others, strict=True))
        )


class NewAccounts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a new user begins with."""

    signup_credits: Balance
    grace: Balance


class PriceBook(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Credits per unit (an image, a video): by operation, and by rules that come before that.

    Without `accounts` the gateway's settings say what a new user begins with.
    """

    operations: dict[str, Credits]
    rules: Annotated[tuple[Rule, ...], Meta(max_length=RULES_MAX)] = ()
    name: Text | None = None
    accounts: NewAccounts | None = None


class Price(Struct, frozen=True, kw_only=True):
    """What one unit costs, and by which rule."""

    unit_credits: int
    rule: str


class InvalidPriceBookError(ValueError):
    """A file that cannot be a price book; the text is one sentence that says why."""


class UnpricedOperationError(LookupError):
    """The price book in force has no figure for an operation that we offer."""


def price(book: PriceBook, order: Order) -> Price:
    """What one unit of an order costs.

    Raises:
        UnpricedOperationError: the book does not know the operation.
    """
    for rule in book.rules:
        if rule.fits(order):
            return Price(unit_credits=rule.credits, rule=rule.name)
    try:
        return Price(unit_credits=book.operations[order.operation], rule=DEFAULT_RULE)
    except KeyError:
        raise UnpricedOperationError(f"the price book has no price for {order.operation}") from None


def size_of(options: Mapping[str, Any]) -> str | None:
    """The size that options ask for, in the one form that rules are written in."""
    if isinstance(size := options.get("size"), str):
        return normalised(size)
    sides = [_side(options.get(name)) for name in ("width", "height")]
    if all(sides):
        return "x".join(side for side in sides if side)
    resolution = options.get("resolution")
    return normalised(resolution) if isinstance(resolution, str) else None


def quality_of(options: Mapping[str, Any]) -> str | None:
    """The quality that options ask for; some providers call it a speed."""
    found = (options.get(name) for name in ("quality", "rendering_speed"))
    return next((normalised(each) for each in found if isinstance(each, str)), None)


def normalised(text: str) -> str:
    """`1328*1328` and `1328X1328` are one size, `High` and `high` one quality."""
    return text.strip().lower().replace("*", "x")


def _side(value: object) -> str | None:
    """A number of pixels, which forms send as text."""
    text = str(value).strip() if isinstance(value, int | str) else ""
    return str(int(text)) if _SIDE.fullmatch(text) else None


@lru_cache(maxsize=16)
def read_book(body: str) -> PriceBook:
    """The book in its stored form.

    Raises:
        ValueError: it is not a price book, or holds a figure that is no price.
    """
    return msgspec.json.decode(body, type=PriceBook)


def check_book(body: bytes) -> PriceBook:
    """The book in a file that somebody wants to add.

    Raises:
        InvalidPriceBookError: anything about it is wrong.
    """
    if len(body) > BOOK_BYTES_MAX:
        raise InvalidPriceBookError(f"A price book may take at most {BOOK_BYTES_MAX} bytes.")
    try:
        text = body.decode()
        json.loads(text, object_pairs_hook=_refuse_repeated_names)
        book = read_book(text)
    except RecursionError:
        raise InvalidPriceBookError("The price book is nested too deeply.") from None
    except InvalidPriceBookError:
        raise
    except ValueError as error:
        raise InvalidPriceBookError(f"This is not a price book: {error}.") from None
    _check_operations(book.operations)
    _check_rules(book.rules)
    if not is_storable(book.name or ""):
        raise InvalidPriceBookError("The book's name must be plain text.")
    return book


def _refuse_repeated_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """JSON readers differ in which of two equal names they believe."""
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise InvalidPriceBookError(f"{repeated!r} stands twice in one object: keep one.")
    return found


def _check_operations(operations: Mapping[str, int]) -> None:
    known = [each.value for each in Operation]
    if unknown := sorted(operations.keys() - set(known)):
        text = f"There is no operation {unknown[0]!r}: there are {', '.join(known)}."
        raise InvalidPriceBookError(text)
    if missing := [name for name in known if name not in operations]:
        raise InvalidPriceBookError(f"The operation {missing[0]!r} has no price: give it one.")


def _check_rules(rules: Sequence[Rule]) -> None:
    for place, rule in enumerate(rules):
        if rule.name == DEFAULT_RULE:
            raise InvalidPriceBookError(f"A rule may not be called {DEFAULT_RULE!r}.")
        for text in (rule.size, rule.quality):
            if text is not None and normalised(text) != text:
                fix = f"write {normalised(text)!r}, not {text!r}"
                raise InvalidPriceBookError(f"The rule {rule.name!r} would fit nothing: {fix}.")
        for earlier in rules[:place]:
            if earlier.name == rule.name:
                raise InvalidPriceBookError(f"Two rules are called {rule.name!r}: rename one.")
            if earlier.covers(rule):
                reason = f"{earlier.name!r} stands before it and fits all that it fits"
                raise InvalidPriceBookError(
                    f"The rule {rule.name!r} would never be reached: {reason}."
                )
