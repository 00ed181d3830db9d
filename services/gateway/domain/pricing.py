"""What a request costs, from an immutable price book that the database's clock has chosen."""

from typing import Final

import msgspec
from msgspec import Struct

CREDITS_MAX: Final = 2**53 - 1  # the largest integer that every JSON reader keeps exact


class PriceBook(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Credits per unit, by operation."""

    operations: dict[str, int]


class UnpricedOperationError(LookupError):
    """The price book in force has no figure for an operation that we offer."""


def read_book(body: str) -> PriceBook:
    """The book in its stored form.

    Raises:
        ValueError: it is not a price book, or holds a figure that is no price.
    """
    book = msgspec.json.decode(body, type=PriceBook)
    wrong = [name for name, price in book.operations.items() if not 0 <= price <= CREDITS_MAX]
    if wrong:
        raise ValueError(f"{wrong[0]} has a price outside 0 to {CREDITS_MAX}")
    return book


def unit_credits(book: PriceBook, operation: str) -> int:
    """What one unit (an image, a video) of an operation costs.

    Raises:
        UnpricedOperationError: the book does not know the operation.
    """
    try:
        return book.operations[operation]
    except KeyError:
        raise UnpricedOperationError(f"the price book has no price for {operation}") from None
