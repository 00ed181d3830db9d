"""What providers call the calls we make of them: how their bills name what they charge for."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

REFERENCE_CHARS_MAX: Final = 200
REFERENCES_MAX: Final = 50  # an attempt makes a call for each picture, and they are few

_noting: ContextVar[list[str] | None] = ContextVar("references", default=None)


@contextmanager
def noting() -> Iterator[list[str]]:
    """Everything that is noted inside, also by tasks that are begun there, whatever is raised."""
    noted: list[str] = []
    token = _noting.set(noted)
    try:
        yield noted
    finally:
        _noting.reset(token)


def note(reference: str) -> None:
    """Keep a provider's name for a call, once; one that is no name of a sane length is dropped."""
    noted = _noting.get()
    is_sane = 0 < len(reference) <= REFERENCE_CHARS_MAX and reference.isprintable()
    if noted is None or not is_sane or reference in noted or len(noted) >= REFERENCES_MAX:
        return
    noted.append(reference)
