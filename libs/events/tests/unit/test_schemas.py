"""Schemas of whole events: they say what the encoder writes."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from libs.events.generation import GenerationCompleted
from libs.events.identity import UserRegistered
from libs.events.operations import MessageParked
from libs.events.payload import Payload
from libs.events.registry import EVENTS
from libs.events.schemas import Schema, event_schema, file_name, version_in, version_of
from libs.events.tests.unit.paintings import painted

SAMPLES = Path(__file__).parents[2] / "samples"


def sample(model: type[Payload]) -> dict[str, Any]:
    stored: dict[str, Any] = msgspec.json.decode(
        (SAMPLES / file_name(version_of(model))).read_bytes()
    )
    return stored


@pytest.mark.parametrize("model", EVENTS, ids=lambda model: model.__name__)
def test_the_attributes_of_a_stored_sample_are_those_of_its_schema(model: type[Payload]) -> None:
    schema, event = event_schema(model), sample(model)
    assert set(schema["required"]) <= event.keys() <= schema["properties"].keys()
    for name, attribute in schema["properties"].items():
        if "const" in attribute:
            assert event[name] == attribute["const"]


@pytest.mark.parametrize("model", EVENTS, ids=lambda model: model.__name__)
def test_the_data_of_a_stored_sample_has_the_fields_of_its_schema(model: type[Payload]) -> None:
    schema = event_schema(model)
    data = schema["$defs"][model.__name__]
    assert schema["properties"]["data"] == {"$ref": f"#/$defs/{model.__name__}"}
    assert data["additionalProperties"] is False
    assert sample(model)["data"].keys() == data["properties"].keys()


def test_every_time_and_id_says_its_format() -> None:
    schema = event_schema(GenerationCompleted)
    facts = schema["$defs"]["RequestFacts"]["properties"]
    assert facts["deadline_at"] == {"type": "string", "format": "date-time"}
    assert facts["job_id"] == {"type": "string", "format": "uuid"}
    assert schema["properties"]["time"]["format"] == "date-time"


def test_the_account_is_required_where_every_event_has_one_and_absent_where_none_has() -> None:
    def has_account(schema: Schema) -> tuple[bool, bool]:
        return "accountid" in schema["properties"], "accountid" in schema["required"]

    assert has_account(event_schema(UserRegistered)) == (True, True)
    assert has_account(event_schema(painted())) == (True, False)
    assert has_account(event_schema(MessageParked)) == (False, False)


def test_a_file_is_named_after_its_version_and_tells_it() -> None:
    assert file_name(("daygen.user.registered", 12)) == "daygen.user.registered.12.json"
    assert version_in("daygen.user.registered.12.json") == ("daygen.user.registered", 12)
    assert version_in("asyncapi.json") is None
