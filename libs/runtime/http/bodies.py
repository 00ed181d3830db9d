"""What crosses the HTTP edge of every service: bodies, texts, reasons, cursors."""

from typing import Annotated, Final, TypeAlias

from fastapi import Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from libs.events.text import is_storable

REASON_CHARS_MAX: Final = 500


class Body(BaseModel):
    """Snake case here, camel case on the wire."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)


class StrictBody(Body):
    """A command: a field that nobody knows is a mistake, and would be lost in silence."""

    model_config = ConfigDict(extra="forbid")


def _storable(text: str) -> str:
    if not is_storable(text):
        raise ValueError("The text holds characters that no text may hold: leave them out.")
    return text.strip()


def _said(reason: str) -> str:
    if not reason:
        raise ValueError("reason must say something: say why.")
    return reason


Text: TypeAlias = Annotated[str, AfterValidator(_storable)]
"""Trimmed, and nothing in it that cannot be stored."""

Reason: TypeAlias = Annotated[Text, Field(max_length=REASON_CHARS_MAX), AfterValidator(_said)]
"""Why somebody orders something: it is kept."""

Cursor: TypeAlias = Annotated[str | None, Query(description="`nextCursor` of the page before.")]
"""Decoded, and refused, by `libs.runtime.paging.decode_cursor`."""
