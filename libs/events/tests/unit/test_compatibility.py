"""A published version may not change: every kind of change is found and told in a sentence."""

from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

import pytest
from msgspec import Meta, Struct

from libs.events.compatibility import Change, Kind, incompatible_changes
from libs.events.names import Topic
from libs.events.payload import Payload
from libs.events.schemas import event_schema
from libs.events.tests.unit.paintings import Field, painted


class Fewer(StrEnum):
    """One medium has gone."""

    OIL = "oil"


class More(StrEnum):
    """One medium has come."""

    OIL = "oil"
    INK = "ink"
    CHALK = "chalk"


class Deeper(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A frame with one more measure."""

    width: int
    depth: int


def changes(model: type[Payload]) -> list[Change]:
    return incompatible_changes(event_schema(painted()), event_schema(model))


@pytest.mark.parametrize(
    ("model", "kind", "text"),
    [
        (painted(without=["strokes"]), Kind.REMOVED, "`data.strokes` was removed"),
        (painted(("title", str)), Kind.ADDED, "`data.title` was added"),
        (painted(("title", str, "")), Kind.ADDED, "`data.title` was added"),
        (
            painted(("hue", str), without=["colour"]),
            Kind.RENAMED,
            "`data.colour` was renamed to `data.hue`",
        ),
        (
            painted(("colour", int)),
            Kind.TYPE_CHANGED,
            "the type of `data.colour` changed from string to integer",
        ),
        (
            painted(("medium", str)),
            Kind.TYPE_CHANGED,
            "the type of `data.medium` changed from enum to string",
        ),
        (
            painted(("frames", tuple[str, ...])),
            Kind.TYPE_CHANGED,
            "the type of `data.frames[]` changed from object to string",
        ),
        (painted(("colour", str | None)), Kind.WIDENED, "`data.colour` may now also be null"),
        (painted(("lot", int | str, 1)), Kind.WIDENED, "`data.lot` may now also be string"),
        (
            painted(("medium", Fewer)),
            Kind.VALUE_REMOVED,
            '`data.medium` may no longer be "ink"',
        ),
        (
            painted(("medium", More)),
            Kind.VALUE_ADDED,
            '`data.medium` may now also be "chalk"',
        ),
        (
            painted(("frames", tuple[Deeper, ...])),
            Kind.ADDED,
            "`data.frames[].depth` was added",
        ),
        (
            painted(("strokes", Annotated[int, Meta(ge=1)])),
            Kind.CONSTRAINT_CHANGED,
            "`minimum` of `data.strokes` changed from 0 to 1",
        ),
        (
            painted(("strokes", int)),
            Kind.CONSTRAINT_CHANGED,
            "`minimum` of `data.strokes` changed from 0 to none",
        ),
        (
            painted(("owner", str | None, None)),
            Kind.CONSTRAINT_CHANGED,
            '`format` of `data.owner` changed from "uuid" to none',
        ),
        (
            painted(("lot", int, 2)),
            Kind.DEFAULT_CHANGED,
            "the default of `data.lot` changed from 1 to 2",
        ),
        (
            painted(topic=Topic.GALLERY),
            Kind.CONSTRAINT_CHANGED,
            '`x-topic` of the event changed from "daygen.generation" to "daygen.gallery"',
        ),
    ],
)
def test_a_change_of_a_published_version_is_found(
    model: type[Payload], kind: Kind, text: str
) -> None:
    assert changes(model) == [Change(kind, text)]


@pytest.mark.parametrize(
    ("changed", "texts"),
    [
        (
            ("owner", UUID | None),
            [
                "`data.owner` became required",
                "the default of `data.owner` changed from null to none",
            ],
        ),
        (
            ("strokes", Annotated[int, Meta(ge=0)], 0),
            [
                "`data.strokes` became optional",
                "the default of `data.strokes` changed from none to 0",
            ],
        ),
        (
            ("owner", UUID),
            [
                "`data.owner` became required",
                "the default of `data.owner` changed from null to none",
                "`data.owner` may no longer be null",
            ],
        ),
    ],
)
def test_a_field_that_becomes_optional_or_required_is_found(
    changed: Field, texts: list[str]
) -> None:
    found = changes(painted(changed))
    assert [each.text for each in found] == texts
    assert found[0].kind is Kind.REQUIREDNESS_CHANGED
    assert {each.kind for each in found[2:]} <= {Kind.NARROWED}


def test_a_narrowed_field_is_found() -> None:
    wide, narrow = painted(("lot", int | str, 1)), painted()
    assert incompatible_changes(event_schema(wide), event_schema(narrow)) == [
        Change(Kind.NARROWED, "`data.lot` may no longer be string")
    ]


def test_several_changes_are_all_told() -> None:
    found = changes(painted(("title", str), ("colour", int), without=["strokes", "lot"]))
    assert {each.kind for each in found} == {Kind.REMOVED, Kind.ADDED, Kind.TYPE_CHANGED}
    assert len(found) == 4


def test_explanations_order_and_names_of_classes_are_free() -> None:
    published, current = event_schema(painted()), event_schema(painted(__doc__="Told anew."))
    data = current["$defs"]["Painted"]
    data["properties"] = dict(reversed(data["properties"].items()))
    data["required"].reverse()
    data["properties"]["owner"]["anyOf"].reverse()
    current["$defs"]["Medium"]["enum"].reverse()
    current["$defs"]["Edge"] = current["$defs"].pop("Frame")
    data["properties"]["frames"]["items"] = {"$ref": "#/$defs/Edge"}
    assert published != current
    assert incompatible_changes(published, current) == []


def test_an_attribute_that_readers_pass_over_may_come_and_one_that_is_required_may_not() -> None:
    published, current = event_schema(painted()), event_schema(painted())
    current["properties"]["tenant"] = {"type": "string"}
    assert incompatible_changes(published, current) == []
    current["required"].append("tenant")
    assert incompatible_changes(published, current) == [Change(Kind.ADDED, "`tenant` was added")]


@pytest.mark.parametrize(
    ("old", "new", "count"),
    [
        ({"const": 1}, {"const": 1.0}, 1),
        ({"const": 1}, {"const": True}, 1),
        ({"type": "object"}, {"type": "object", "additionalProperties": False}, 1),
        ({"type": "object", "additionalProperties": {"type": "string"}}, {"type": "object"}, 1),
        ({"prefixItems": [{"type": "string"}]}, {"prefixItems": [{"type": "null"}]}, 1),
        ({"unheard-of": 1}, {}, 1),
        ({}, {}, 0),
    ],
)
def test_whatever_else_differs_counts_as_a_constraint(
    old: dict[str, Any], new: dict[str, Any], count: int
) -> None:
    assert len(incompatible_changes(old, new)) == count


def test_a_model_that_contains_itself_is_compared_without_end() -> None:
    tree = {
        "$ref": "#/$defs/Tree",
        "$defs": {"Tree": {"properties": {"next": {"$ref": "#/$defs/Tree"}}}},
    }
    assert incompatible_changes(tree, tree) == []
