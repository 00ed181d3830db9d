"""The AsyncAPI 3.0 document of the streams: topics, messages, and who writes and reads them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from aiokafka.admin import NewTopic

from libs.events.names import (
    CONTENT_TYPE_CLOUDEVENT,
    HEADER_DEAD_LETTER_CONSUMER,
    HEADER_DEAD_LETTER_REASON,
    Service,
    Topic,
)
from libs.events.payload import Payload
from libs.events.schemas import Schema, Version, file_name
from tools.events.subscriptions import Subscription

Json = dict[str, Any]
KAFKA_BINDING = "0.5.0"
CONTENT_TYPE = CONTENT_TYPE_CLOUDEVENT.decode()
DEAD_LETTER = "dead-letter"
ABOUT = (
    "CloudEvents 1.0 in structured JSON on Kafka. History leaves its service through an outbox; "
    "deliveries may repeat, and readers know an event by its id. Order holds per key and topic. "
    "A version, once published, never changes."
)
HISTORY = "History, kept for ever."
SIGNALS = "Passing signals of progress; nothing may depend on them."
DEAD_LETTERS = "Copies of messages of `{topic}` that a consumer has parked, as they were received."


def document(
    models: Sequence[type[Payload]],
    schemas: Mapping[Version, Schema],
    subscriptions: Sequence[Subscription],
    topics: Mapping[str, tuple[NewTopic, NewTopic]],
    release: str,
) -> Json:
    """The whole document; `topics` has each one's definition on one machine and in production."""
    known = [version for model in models for version in _versions(model, schemas)]
    operations = [*_sends(models), *_receives(models, schemas, subscriptions)]
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "DayGen events", "version": release, "description": ABOUT},
        "defaultContentType": CONTENT_TYPE,
        "channels": {name: _channel(name, pair, models, schemas) for name, pair in topics.items()},
        "operations": {
            f"{each['x-service']}.{each['action']}.{name}": each for name, each in operations
        },
        "components": {
            "messages": {
                **{_id(version): _message(version, schemas[version]) for version in known},
                DEAD_LETTER: _dead_letter(),
            }
        },
    }


def _versions(model: type[Payload], schemas: Mapping[Version, Schema]) -> list[Version]:
    """Every version of a type that stands in the streams, oldest first."""
    return sorted(version for version in schemas if version[0] == model.event_type.value)


def _channel(
    name: str,
    definitions: tuple[NewTopic, NewTopic],
    models: Sequence[type[Payload]],
    schemas: Mapping[Version, Schema],
) -> Json:
    embedded, production = definitions
    topic = next(each for each in Topic if name in {each.value, each.dead_letters})
    ids = [
        _id(each) for model in models if model.topic == name for each in _versions(model, schemas)
    ]
    if name == topic.dead_letters:
        description, ids = DEAD_LETTERS.format(topic=topic.value), [DEAD_LETTER]
    else:
        description = f"{HISTORY if topic.is_kept else SIGNALS} Key: {_key(topic)}."
    return {
        "address": name,
        "description": description,
        "messages": {each: {"$ref": f"#/components/messages/{each}"} for each in ids},
        "bindings": {"kafka": _topic_binding(embedded)},
        "x-partitions": {
            "embedded": embedded.num_partitions,
            "production": production.num_partitions,
            "partitioner": "murmur2 of the key",
        },
    }


def _key(topic: Topic) -> str:
    if topic is Topic.OPERATIONS:
        return "the event's `subject`"
    return "the account's id (`accountid`), so each account is in order"


def _topic_binding(definition: NewTopic) -> Json:
    settings = definition.topic_configs
    return {
        "topicConfiguration": {
            "cleanup.policy": [settings["cleanup.policy"]],
            **{
                name: int(settings[name])
                for name in ("retention.ms", "retention.bytes", "max.message.bytes")
            },
        },
        "bindingVersion": KAFKA_BINDING,
    }


def _sends(models: Sequence[type[Payload]]) -> Iterator[tuple[str, Json]]:
    """What each service writes, which is always the newest version."""
    for service in Service:
        for topic in Topic:
            written = [each for each in models if each.topic is topic and service in each.writers]
            ids = [_id((each.event_type.value, each.event_version)) for each in written]
            if ids:
                yield topic.value, _operation(service, "send", topic.value, ids)


def _receives(
    models: Sequence[type[Payload]],
    schemas: Mapping[Version, Schema],
    subscriptions: Iterable[Subscription],
) -> Iterator[tuple[str, Json]]:
    """What each service handles, in every version that was ever written, and what it parks."""
    for reader in subscriptions:
        for topic in reader.topics:
            handled = [
                each
                for each in models
                if each.topic is topic and each.event_type in reader.event_types
            ]
            ids = [_id(each) for model in handled for each in _versions(model, schemas)]
            group = {"groupId": {"type": "string", "enum": [reader.group]}}
            received = _operation(reader.service, "receive", topic.value, ids)
            binding = {"kafka": {**group, "bindingVersion": KAFKA_BINDING}}
            yield topic.value, {**received, "bindings": binding}
            if topic.is_kept:
                parked = topic.dead_letters
                yield parked, _operation(reader.service, "send", parked, [DEAD_LETTER])


def _operation(service: Service, action: str, channel: str, ids: Sequence[str]) -> Json:
    place = f"#/channels/{channel}"
    return {
        "action": action,
        "x-service": service.value,
        "channel": {"$ref": place},
        "messages": [{"$ref": f"{place}/messages/{each}"} for each in ids],
    }


def _message(version: Version, schema: Schema) -> Json:
    return {
        "name": version[0],
        "title": f"{schema['title']}, version {version[1]}",
        "summary": schema["description"],
        "contentType": CONTENT_TYPE,
        "correlationId": {"location": "$message.payload#/correlationid"},
        "payload": {"$ref": f"./{file_name(version)}"},
        "bindings": {"kafka": {"key": _key_schema(schema), "bindingVersion": KAFKA_BINDING}},
    }


def _key_schema(schema: Schema) -> Json:
    """The account where every event of the type has one, else the subject may be the key."""
    if "accountid" in schema["required"]:
        return {"type": "string", "format": "uuid"}
    return {"type": "string"}


def _dead_letter() -> Json:
    headers = {
        HEADER_DEAD_LETTER_CONSUMER: "The group whose handler could not take it.",
        HEADER_DEAD_LETTER_REASON: "Why, as a stable code.",
    }
    return {
        "name": DEAD_LETTER,
        "title": "A parked message",
        "summary": "The bytes that were received, or nothing if they are too large to send on.",
        "contentType": "application/octet-stream",
        "headers": {
            "type": "object",
            "properties": {
                name: {"type": "string", "description": text} for name, text in headers.items()
            },
            "required": list(headers),
        },
        "payload": {"description": "Anything: it may not even be an event."},
    }


def _id(version: Version) -> str:
    return f"{version[0]}.{version[1]}"
