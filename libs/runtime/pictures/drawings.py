"""Looks at an SVG as it passes: whole, of a sane size, and with nothing in it that acts.

A drawing is shown under our own address, so one that could run a script, or fetch anything, is
refused. Sources: SVG 2 (5.1, 8.1, 15), XML 1.0 (2.8, 4).
"""

import re
from collections.abc import Callable
from xml.parsers import expat

from libs.runtime.pictures.cleaning import Cleaner
from libs.runtime.pictures.heads import NotAPictureError

DRAWING_BYTES_MAX = 32 * 1024 * 1024
ELEMENTS_MAX = 500_000

_ACTING = frozenset({
    "script", "foreignobject", "iframe", "embed", "object", "handler", "listener", "set",
    "animate", "a",
})  # fmt: skip
_LENGTH = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:px)?\s*")
_INSIDE = re.compile(r"\s*(#|data:image/(png|jpeg|webp|gif)[;,])", re.IGNORECASE)
_OUTSIDE = re.compile(
    r"url\(\s*+['\"]?+\s*+(?!#)|@import|expression\s*\(|javascript:", re.IGNORECASE
)


class DrawingCheck(Cleaner):
    """Lets all pass, and refuses what is not a mere drawing."""

    def __init__(self, require_sane: Callable[[int, int], None]) -> None:
        self.size: tuple[int, int] | None = None
        self._require_sane = require_sane
        self._seen = 0
        self._elements = 0
        self._inside: list[str] = []
        self._parser = expat.ParserCreate()
        self._parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        self._parser.EntityDeclHandler = self._entity
        self._parser.ProcessingInstructionHandler = self._instruction

    def feed(self, chunk: bytes) -> bytes:
        self._seen += len(chunk)
        if self._seen > DRAWING_BYTES_MAX:
            raise NotAPictureError("the SVG is too large")
        self._parse(chunk, is_last=False)
        return chunk

    def close(self) -> bytes:
        self._parse(b"", is_last=True)
        return b""

    def _parse(self, chunk: bytes, *, is_last: bool) -> None:
        try:
            self._parser.Parse(chunk, is_last)
        except expat.ExpatError as error:
            raise NotAPictureError(f"the SVG is damaged or cut off: {error}") from error

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._elements += 1
        local = name.rpartition(":")[2].lower()
        if self._elements > ELEMENTS_MAX or len(self._inside) > 200:
            raise NotAPictureError("the SVG has too many elements")
        if local in _ACTING:
            raise NotAPictureError(f"the SVG has an element {local}")
        for attribute, value in attributes.items():
            _require_passive(attribute.rpartition(":")[2].lower(), value)
        if self.size is None:
            self.size = _size(attributes)
            self._require_sane(*self.size)
        self._inside.append(local)

    def _end(self, _name: str) -> None:
        self._inside.pop()

    def _text(self, text: str) -> None:
        if self._inside and self._inside[-1] == "style" and _OUTSIDE.search(text):
            raise NotAPictureError("a style of the SVG leads elsewhere")

    def _entity(self, name: str, *_: object) -> None:
        raise NotAPictureError(f"the SVG defines an entity {name}")

    def _instruction(self, target: str, _data: str) -> None:
        raise NotAPictureError(f"the SVG has an instruction {target}")


def _require_passive(attribute: str, value: str) -> None:
    is_link = attribute in {"href", "src"} and not _INSIDE.match(value)
    if attribute.startswith("on") or is_link or _OUTSIDE.search(value):
        raise NotAPictureError(f"an attribute {attribute} of the SVG acts or leads elsewhere")


def _size(attributes: dict[str, str]) -> tuple[int, int]:
    """From `width` and `height`, else from the view box, else what viewers take (300 x 150)."""
    lengths = [_LENGTH.fullmatch(attributes.get(name, "")) for name in ("width", "height")]
    numbers = [float(each[1]) for each in lengths if each]
    if len(numbers) < 2:
        box = attributes.get("viewBox", "").replace(",", " ").split()
        try:
            numbers = [float(each) for each in box[2:4]]
        except ValueError:
            numbers = []
    width, height = numbers if len(numbers) == 2 else (300.0, 150.0)
    if not (1e-9 < width < 1e9 and 1e-9 < height < 1e9):
        raise NotAPictureError("the SVG is empty, or of no size")
    return max(1, round(width)), max(1, round(height))
