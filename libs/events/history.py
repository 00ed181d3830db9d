"""What must stay true of event versions that were published: the rules, without any I/O."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from libs.events.compatibility import incompatible_changes
from libs.events.names import EventType
from libs.events.payload import Payload
from libs.events.schemas import Schema, Version, event_schema, file_name, version_of
from libs.events.upcasters import Upcaster

Upcasters = Mapping[tuple[EventType, int], Upcaster]
SCHEMAS = "docs/events"
SAMPLES = "libs/events/samples"


class Stored(Struct, frozen=True):
    """The files of one tree: a schema and a sample of each version."""

    schemas: Mapping[Version, Schema]
    samples: Mapping[Version, Any]


def broken_promises(
    models: Sequence[type[Payload]], published: Stored, present: Stored
) -> Iterator[str]:
    """Changes to what was published. Nothing may be generated over them."""
    newest = {version_of(model)[0]: model for model in models}
    for version, schema in published.schemas.items():
        model = newest.get(version[0])
        if model is None or version[1] > model.event_version:
            yield (
                f"{_said(version)} was published and has no model any more: it is in the streams "
                "for ever, so register it again in libs/events/registry.py."
            )
        elif version[1] == model.event_version:
            yield from _changed(version, schema, event_schema(model))
        elif present.schemas.get(version) != schema:
            yield _restore(version, SCHEMAS, "schema")
    for version, sample in published.samples.items():
        if present.samples.get(version) != sample:
            yield _restore(version, SAMPLES, "sample")


def _changed(version: Version, published: Schema, current: Schema) -> Iterator[str]:
    for change in incompatible_changes(published, current):
        yield (
            f"{_said(version)} was published and may not change, but {change.text}: make version "
            f"{version[1] + 1} with an upcaster from version {version[1]}."
        )


def _restore(version: Version, folder: str, what: str) -> str:
    path = f"{folder}/{file_name(version)}"
    return f"The {what} of {_said(version)} was published and is never edited: restore {path}."


def missing_parts(
    models: Sequence[type[Payload]], upcasters: Upcasters, present: Stored
) -> Iterator[str]:
    """What a version needs beside its model: writers, a step from each older one, a sample."""
    versions = {
        (model.event_type.value, number)
        for model in models
        for number in range(1, model.event_version + 1)
    }
    for model in models:
        if not getattr(model, "writers", ()):
            yield f"{model.__name__} has no writer: set its `writers` to the services that publish."
        yield from _missing_steps(model, upcasters, present)
    for event_type, number in upcasters:
        if (event_type.value, number + 1) not in versions:
            step = f"{_said((event_type.value, number))} to version {number + 1}"
            yield f"The upcaster from {step} lifts to nothing: raise `event_version`, or remove it."
    for version in sorted(versions - present.samples.keys()):
        path = f"{SAMPLES}/{file_name(version)}"
        yield f"{_said(version)} has no stored sample: write one whole event to {path}."
    for version in sorted(present.samples.keys() - versions):
        path = f"{SAMPLES}/{file_name(version)}"
        yield f"{path} is the sample of a version that is not registered: remove one or the other."


def _missing_steps(model: type[Payload], upcasters: Upcasters, present: Stored) -> Iterator[str]:
    for number in range(1, model.event_version):
        version = (model.event_type.value, number)
        if (model.event_type, number) not in upcasters:
            yield (
                f"{_said(version)} cannot be lifted: write its step to version {number + 1} in "
                "libs/events/upcasters.py."
            )
        if version not in present.schemas:
            yield (
                f"{_said(version)} was never published, so version {number + 1} is too far: "
                "versions go up by one, each with its schema."
            )


def _said(version: Version) -> str:
    return f"{version[0]} version {version[1]}"
