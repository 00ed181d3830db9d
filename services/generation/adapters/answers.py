"""Reads answers that may be of any shape: what is not there, or is another thing, is empty."""

from typing import Any


def item(value: Any, *path: str) -> dict[str, Any]:
    """The object at a path of names, an empty one if there is none."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def items(value: Any, *path: str) -> list[dict[str, Any]]:
    """The objects in the list at a path of names."""
    *before, last = path
    found = item(value, *before).get(last)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def text(value: Any, name: str) -> str:
    """A member that is a text, an empty one if it is none."""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""


def number(value: Any, name: str) -> int:
    """A member that is a whole number, 0 if it is none."""
    found = value.get(name) if isinstance(value, dict) else None
    return found if type(found) is int else 0


def amount(value: Any, name: str, scale: int) -> int:
    """A member that is a number, times `scale`, as a whole number; 0 if it is none."""
    found = value.get(name) if isinstance(value, dict) else None
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found < 1e9:
        return 0
    return round(found * scale)
