"""JSON Schemas (2020-12) of whole events: the CloudEvents attributes round a payload model."""

from collections.abc import Mapping
from typing import Any, get_args, get_type_hints

import msgspec

from libs.events.envelope import DATA_CONTENT_TYPE, SPECVERSION, schema_uri
from libs.events.payload import Payload
from libs.events.registry import NAME_CHARACTERS_MAX

Schema = dict[str, Any]
Version = tuple[str, int]
"""An event type's wire name, and one of its versions."""

DIALECT = "https://json-schema.org/draft/2020-12/schema"
REFERENCE = "#/$defs/{name}"
UUID_TEXT: Mapping[str, str] = {"type": "string", "format": "uuid"}
TRACEPARENT = "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"


def version_of(model: type[Payload]) -> Version:
    """The type and version that a model describes."""
    return model.event_type.value, model.event_version


def file_name(version: Version) -> str:
    """Name of the file of a version, both of its schema and of its stored sample."""
    return f"{version[0]}.{version[1]}.json"


def version_in(name: str) -> Version | None:
    """The version that a file is named after; None if it is named after none."""
    event_type, _, number = name.removesuffix(".json").rpartition(".")
    return (event_type, int(number)) if event_type and number.isdecimal() else None


def event_schema(model: type[Payload]) -> Schema:
    """Schema of the newest version of an event as it stands on the wire."""
    (reference,), parts = msgspec.json.schema_components([model], ref_template=REFERENCE)
    attributes, required = _attributes(model)
    schema = {
        "$schema": DIALECT,
        "$id": schema_uri(*version_of(model)),
        "title": model.__name__,
        "description": parts[model.__name__].get("description", ""),
        "x-topic": model.topic.value,
        "type": "object",
        "properties": {**attributes, "data": reference},
        "required": [*required, "data"],
        "$defs": parts,
    }
    plain: Schema = msgspec.json.decode(msgspec.json.encode(schema))
    return plain


def _attributes(model: type[Payload]) -> tuple[Schema, list[str]]:
    """CloudEvents attributes, and which of them every event of the type has."""
    event_type, version = version_of(model)
    required: Schema = {
        "specversion": {"const": SPECVERSION},
        "id": _described(UUID_TEXT, "A UUIDv7. Deliveries of one id are one event."),
        "source": {"type": "string", "format": "uri-reference"},
        "type": {"const": event_type},
        "subject": {"type": "string", "maxLength": NAME_CHARACTERS_MAX},
        "time": {"type": "string", "format": "date-time"},
        "datacontenttype": {"const": DATA_CONTENT_TYPE},
        "dataschema": {"const": schema_uri(event_type, version)},
        "eventversion": {"const": version},
        "correlationid": _described(UUID_TEXT, "Shared by all that one request caused."),
    }
    optional: Schema = {
        "causationid": _described(UUID_TEXT, "The id of the event that caused this one."),
        "traceparent": {"type": "string", "pattern": TRACEPARENT},
    }
    account = _described(UUID_TEXT, "Who pays. Also the key in Kafka.")
    kinds = _account_kinds(model)
    if type(None) not in kinds:
        required["accountid"] = account
    elif len(kinds) > 1:
        optional["accountid"] = account
    return required | optional, list(required)


def _account_kinds(model: type[Payload]) -> set[Any]:
    """What a model's `account` may be: a UUID, None, or either."""
    getter = vars(next(kind for kind in model.__mro__ if "account" in vars(kind)))["account"].fget
    returned = get_type_hints(getter)["return"]
    return set(get_args(returned)) or {returned}


def _described(schema: Mapping[str, str], description: str) -> Schema:
    return {**schema, "description": description}
