"""Compares two JSON Schemas of one event version; a published one may not change at all.

Readers forbid unknown fields and know every value of an enumeration, so that a wider schema breaks
a reader of the last release just as a narrower one breaks the reading of history. Only what
explains (titles, descriptions) and the names of definitions are free.
"""

import json
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any

from msgspec import Struct

from libs.events.schemas import Schema

EXPLAINING = frozenset({"$schema", "$id", "$defs", "$comment", "title", "description", "examples"})
# Keywords that have a rule below; a difference in any other one is a changed constraint.
RULED = frozenset({
    "type", "anyOf", "enum", "properties", "required", "items", "additionalProperties",
    "prefixItems", "default",
})  # fmt: skip
ABSENT = object()


class Kind(StrEnum):
    """What a change does to a schema."""

    REMOVED = "removed"
    ADDED = "added"
    RENAMED = "renamed"
    TYPE_CHANGED = "type changed"
    NARROWED = "narrowed"
    WIDENED = "widened"
    VALUE_REMOVED = "value removed"
    VALUE_ADDED = "value added"
    REQUIREDNESS_CHANGED = "requiredness changed"
    CONSTRAINT_CHANGED = "constraint changed"
    DEFAULT_CHANGED = "default changed"


class Change(Struct, frozen=True):
    """One incompatible difference; `text` is a clause that names the place."""

    kind: Kind
    text: str


def incompatible_changes(published: Schema, current: Schema) -> list[Change]:
    """Every difference that a reader could meet, from the outside in."""
    return list(_compare("", _expand(published, published), _expand(current, current)))


def _expand(node: Any, root: Schema, inside: tuple[str, ...] = ()) -> Any:
    """A schema with its references resolved and without what only explains.

    A definition that contains itself keeps the inner reference.
    """
    if not isinstance(node, dict):
        return node
    reference = node.get("$ref")
    if reference is not None and reference not in inside:
        target = root["$defs"][reference.rpartition("/")[2]]
        siblings = {name: value for name, value in node.items() if name != "$ref"}
        return _expand({**target, **siblings}, root, (*inside, reference))
    expanded: Schema = {}
    for name, value in node.items():
        if name in EXPLAINING:
            continue
        if name == "properties":
            expanded[name] = {key: _expand(each, root, inside) for key, each in value.items()}
        elif name in {"anyOf", "prefixItems"}:
            expanded[name] = [_expand(each, root, inside) for each in value]
        elif name in {"items", "additionalProperties"}:
            expanded[name] = _expand(value, root, inside)
        else:
            expanded[name] = value
    return expanded


def _compare(place: str, old: Any, new: Any) -> Iterator[Change]:
    """Alternatives that stayed are compared with each other, the others have come or gone."""
    if _same(old, new):
        return
    if not isinstance(old, dict) or not isinstance(new, dict):
        yield Change(
            Kind.CONSTRAINT_CHANGED, f"{_name(place)} changed from {_shown(old)} to {_shown(new)}"
        )
        return
    yield from _default(place, old, new)
    gone, come = _alternatives(old), _alternatives(new)
    for each in [one for one in gone if any(_same(one, other) for other in come)]:
        gone.remove(each)
        come.remove(next(other for other in come if _same(each, other)))
    for each in list(gone):
        partner = next((other for other in come if _shape(other) == _shape(each)), None)
        if partner is not None:
            gone.remove(each)
            come.remove(partner)
            yield from _compare_one(place, each, partner)
    yield from _types(place, gone, come)


def _default(place: str, old: Schema, new: Schema) -> Iterator[Change]:
    before, after = old.get("default", ABSENT), new.get("default", ABSENT)
    if not _same(before, after):
        text = f"the default of {_name(place)} changed from {_shown(before)} to {_shown(after)}"
        yield Change(Kind.DEFAULT_CHANGED, text)


def _alternatives(schema: Schema) -> list[Schema]:
    plain = {name: value for name, value in schema.items() if name != "default"}
    if "anyOf" not in plain:
        return [plain]
    rest = {name: value for name, value in plain.items() if name != "anyOf"}
    return [each for option in plain["anyOf"] for each in _alternatives({**option, **rest})]


def _shape(schema: Schema) -> str:
    """What kind of value it takes: its type, or how else it says which values."""
    for keyword in ("enum", "const"):
        if keyword in schema:
            return keyword
    return str(schema.get("type", schema.get("$ref", "anything")))


def _types(place: str, gone: Sequence[Schema], come: Sequence[Schema]) -> Iterator[Change]:
    before, after = (" or ".join(map(_shape, each)) for each in (gone, come))
    if gone and come:
        text = f"the type of {_name(place)} changed from {before} to {after}"
        yield Change(Kind.TYPE_CHANGED, text)
    elif gone:
        yield Change(Kind.NARROWED, f"{_name(place)} may no longer be {before}")
    elif come:
        yield Change(Kind.WIDENED, f"{_name(place)} may now also be {after}")


def _compare_one(place: str, old: Schema, new: Schema) -> Iterator[Change]:
    """Two schemas of one shape, keyword by keyword."""
    yield from _values(place, old.get("enum", []), new.get("enum", []))
    yield from _properties(place, old, new)
    for keyword, mark in (("items", "[]"), ("additionalProperties", ".*")):
        yield from _compare(f"{place}{mark}", old.get(keyword, True), new.get(keyword, True))
    befores, afters = old.get("prefixItems", []), new.get("prefixItems", [])
    for index, (before, after) in enumerate(zip(befores, afters, strict=False)):
        yield from _compare(f"{place}[{index}]", before, after)
    for keyword in sorted((old.keys() | new.keys()) - RULED):
        before, after = old.get(keyword, ABSENT), new.get(keyword, ABSENT)
        if not _same(before, after):
            what = f"`{keyword}` of {_name(place)}"
            text = f"{what} changed from {_shown(before)} to {_shown(after)}"
            yield Change(Kind.CONSTRAINT_CHANGED, text)


def _values(place: str, old: Sequence[Any], new: Sequence[Any]) -> Iterator[Change]:
    for value in old:
        if value not in new:
            text = f"{_name(place)} may no longer be {_shown(value)}"
            yield Change(Kind.VALUE_REMOVED, text)
    for value in new:
        if value not in old:
            yield Change(Kind.VALUE_ADDED, f"{_name(place)} may now also be {_shown(value)}")


def _properties(place: str, old: Schema, new: Schema) -> Iterator[Change]:
    before, after = old.get("properties", {}), new.get("properties", {})
    gone = [name for name in before if name not in after]
    come = [name for name in after if name not in before]
    for name in gone:
        # The same schema under another name: told as what it most likely is.
        heir = next((each for each in come if _same(before[name], after[each])), None)
        if heir is None:
            yield Change(Kind.REMOVED, f"{_name(place, name)} was removed")
        else:
            come.remove(heir)
            text = f"{_name(place, name)} was renamed to {_name(place, heir)}"
            yield Change(Kind.RENAMED, text)
    must, must_now = set(old.get("required", [])), set(new.get("required", []))
    is_open = old.get("additionalProperties", True) is not False
    for name in come:
        # Readers pass over what they do not know where the schema leaves room: the attributes.
        if not is_open or name in must_now:
            yield Change(Kind.ADDED, f"{_name(place, name)} was added")
    for name in [each for each in before if each in after]:
        if (name in must) is not (name in must_now):
            change = "optional" if name in must else "required"
            yield Change(Kind.REQUIREDNESS_CHANGED, f"{_name(place, name)} became {change}")
        yield from _compare(_path(place, name), before[name], after[name])


def _path(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _name(place: str, name: str = "") -> str:
    path = _path(place, name) if name else place
    return f"`{path}`" if path else "the event"


def _same(one: Any, other: Any) -> bool:
    if one is ABSENT or other is ABSENT:
        return one is other
    return _canonical(one) == _canonical(other)


def _canonical(value: Any) -> str:
    """One text for all spellings; `1`, `1.0`, `true` and `"1"` stay apart."""
    return json.dumps(_ordered(value), sort_keys=True)


def _ordered(value: Any) -> Any:
    if isinstance(value, list):
        return [_ordered(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        name: sorted(map(_canonical, each)) if _is_set(name, each) else _ordered(each)
        for name, each in value.items()
    }


def _is_set(keyword: str, value: Any) -> bool:
    return keyword in {"required", "enum", "anyOf"} and isinstance(value, list)


def _shown(value: Any) -> str:
    return "none" if value is ABSENT else json.dumps(value)
