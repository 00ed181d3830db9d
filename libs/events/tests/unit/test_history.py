"""What was published stays: versions, their schemas, samples and the steps between them."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from libs.events.history import Stored, broken_promises, missing_parts
from libs.events.names import EventType
from libs.events.payload import Payload
from libs.events.schemas import Schema, event_schema
from libs.events.tests.unit.paintings import NAME, painted
from libs.events.upcasters import Upcaster

V1, V2 = (NAME, 1), (NAME, 2)
FIRST = event_schema(painted())
SECOND = event_schema(painted(("title", str), version=2))
STEP = (EventType.GENERATION_COMPLETED, 1)


def stored(*schemas: Schema, samples: int | None = None) -> Stored:
    """The files of versions 1, 2, ... with a sample of each."""
    count = len(schemas) if samples is None else samples
    return Stored(
        schemas={(NAME, number): schema for number, schema in enumerate(schemas, start=1)},
        samples={(NAME, number): {"eventversion": number} for number in range(1, count + 1)},
    )


def broken(models: Sequence[type[Payload]], published: Stored, present: Stored) -> list[str]:
    return list(broken_promises(models, published, present))


def missing(
    model: type[Payload], present: Stored, steps: Mapping[tuple[EventType, int], Upcaster]
) -> list[str]:
    return list(missing_parts([model], steps, present))


def test_an_unchanged_version_keeps_every_promise() -> None:
    assert broken([painted()], stored(FIRST), stored(FIRST)) == []
    assert missing(painted(), stored(FIRST), {}) == []


def test_an_unpublished_version_may_change_freely() -> None:
    assert broken([painted(("colour", int))], stored(), stored(FIRST)) == []


def test_a_changed_version_is_refused_with_what_to_do() -> None:
    assert broken([painted(without=["strokes"])], stored(FIRST), stored(FIRST)) == [
        (
            f"{NAME} version 1 was published and may not change, but "
            "`data.strokes` was removed: make version 2 with an upcaster from version 1."
        )
    ]


def test_regenerating_the_file_does_not_hide_the_change() -> None:
    model = painted(("colour", int))
    assert len(broken([model], stored(FIRST), stored(event_schema(model)))) == 1


def test_a_new_version_with_its_upcaster_and_sample_is_welcome() -> None:
    model = painted(("title", str), version=2)
    present = stored(FIRST, SECOND)
    assert broken([model], stored(FIRST), present) == []
    assert missing(model, present, {STEP: dict}) == []


def test_a_type_that_was_published_may_not_disappear() -> None:
    assert broken([], stored(FIRST), stored(FIRST)) == [
        (
            f"{NAME} version 1 was published and has no model any more: it is in "
            "the streams for ever, so register it again in libs/events/registry.py."
        )
    ]


def test_a_version_may_not_go_back() -> None:
    (sentence,) = broken([painted()], stored(FIRST, SECOND), stored(FIRST, SECOND))
    assert sentence.startswith(f"{NAME} version 2 was published and has no")


@pytest.mark.parametrize("left", [stored(SECOND), stored()], ids=["edited", "removed"])
def test_the_schema_of_an_older_version_is_never_edited_nor_removed(left: Stored) -> None:
    model = painted(("title", str), version=2)
    present = Stored(schemas=left.schemas, samples=stored(FIRST).samples)
    assert broken([model], stored(FIRST), present) == [
        (
            f"The schema of {NAME} version 1 was published and is never edited: "
            f"restore docs/events/{NAME}.1.json."
        )
    ]


@pytest.mark.parametrize("samples", [{V1: {"eventversion": 9}}, {}], ids=["edited", "removed"])
def test_a_stored_sample_is_never_edited_nor_removed(samples: dict[tuple[str, int], Any]) -> None:
    present = Stored(schemas={V1: FIRST}, samples=samples)
    assert broken([painted()], stored(FIRST), present) == [
        (
            f"The sample of {NAME} version 1 was published and is never edited: "
            f"restore libs/events/samples/{NAME}.1.json."
        )
    ]


def test_a_version_without_the_step_to_it_is_found() -> None:
    model = painted(("title", str), version=2)
    assert missing(model, stored(FIRST, SECOND), {}) == [
        (
            f"{NAME} version 1 cannot be lifted: write its step to version 2 in "
            "libs/events/upcasters.py."
        )
    ]


def test_a_step_that_lifts_to_nothing_is_found() -> None:
    assert missing(painted(), stored(FIRST), {STEP: dict}) == [
        (
            f"The upcaster from {NAME} version 1 to version 2 lifts to nothing: "
            "raise `event_version`, or remove it."
        )
    ]


def test_a_version_that_skips_one_is_found() -> None:
    model = painted(version=2)
    (sentence,) = missing(model, Stored({V2: SECOND}, stored(FIRST, SECOND).samples), {STEP: dict})
    assert sentence == (
        f"{NAME} version 1 was never published, so version 2 is too far: "
        "versions go up by one, each with its schema."
    )


def test_a_version_without_a_sample_and_a_sample_without_a_version_are_found() -> None:
    assert missing(painted(), stored(FIRST, samples=0), {}) == [
        (
            f"{NAME} version 1 has no stored sample: write one whole event to "
            f"libs/events/samples/{NAME}.1.json."
        )
    ]
    assert missing(painted(), stored(FIRST, samples=2), {}) == [
        (
            f"libs/events/samples/{NAME}.2.json is the sample of a version that "
            "is not registered: remove one or the other."
        )
    ]


def test_an_event_that_nobody_writes_is_found() -> None:
    assert missing(painted(writers=()), stored(FIRST), {}) == [
        "Painted has no writer: set its `writers` to the services that publish."
    ]
