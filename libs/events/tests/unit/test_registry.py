"""Decoding: every event comes back as it went out; anything else is refused by its reason."""

import inspect
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

import msgspec
import pytest

from libs.events import billing, gallery, generation, identity, operations, testing
from libs.events import credits as credit_events
from libs.events.envelope import ENCODED_BYTES_MAX, EventTooLargeError, encode
from libs.events.names import EventType, Topic
from libs.events.payload import Payload
from libs.events.registry import EVENTS, REGISTRY, Registry, UndecodableEventError
from libs.events.upcasters import Data

SAMPLES = Path(__file__).parents[2] / "samples"
MODULES = (billing, credit_events, gallery, generation, identity, operations)


def stored_samples() -> list[Path]:
    return sorted(SAMPLES.glob("*.json"))


def sample_name(event_type: str, version: int) -> str:
    return f"{event_type}.{version}.json"


@pytest.mark.parametrize("path", stored_samples(), ids=lambda path: path.stem)
def test_a_stored_sample_of_every_version_ever_published_can_be_read(path: Path) -> None:
    event = REGISTRY.decode(path.read_bytes())
    assert path.name.startswith(event.data.event_type.value)


def test_every_version_of_every_event_has_a_stored_sample() -> None:
    expected = {
        sample_name(model.event_type.value, version)
        for model in EVENTS
        for version in range(1, model.event_version + 1)
    }
    assert {path.name for path in stored_samples()} == expected


@pytest.mark.parametrize("path", stored_samples(), ids=lambda path: path.stem)
def test_an_event_of_the_newest_version_comes_back_as_it_went_out(path: Path) -> None:
    event = REGISTRY.decode(path.read_bytes())
    again = encode(event)
    assert REGISTRY.decode(again) == event
    if path.name == sample_name(event.data.event_type.value, event.data.event_version):
        assert msgspec.json.decode(again) == msgspec.json.decode(path.read_bytes())


def test_every_payload_that_is_declared_is_registered() -> None:
    declared = {
        member
        for module in MODULES
        for _, member in inspect.getmembers(module, inspect.isclass)
        if issubclass(member, Payload) and hasattr(member, "event_type")
    }
    assert declared == set(EVENTS)
    assert {model.event_type for model in EVENTS} == set(EventType)


def broken(old: bytes, new: bytes) -> bytes:
    encoded = encode(testing.event(testing.completed()))
    assert old in encoded
    return encoded.replace(old, new, 1)


REFUSED = (
    (b"", "malformed"),
    (b"{", "malformed"),
    (b"[]", "malformed"),
    (b"\xff\xfe", "malformed"),
    (b'{"specversion":"1.0"}', "malformed"),
    (broken(b'"specversion":"1.0"', b'"specversion":"0.3"'), "malformed"),
    (broken(b"generation.completed", rb"generation.\u0000"), "malformed"),
    (broken(b'.678901Z","datacontenttype"', b'.678901","datacontenttype"'), "malformed"),
    (broken(b'"subject":"', rb'"subject":"\u0000'), "malformed"),
    (broken(b'"subject":"', b'"subject":"' + b"s" * 500), "malformed"),
    (broken(b"generation.completed", b"generation.evaporated"), "unknown_type"),
    (broken(b'"eventversion":3', b'"eventversion":4'), "newer_version"),
    (broken(b'"delivered_units":1', b'"delivered_units":"1"'), "invalid_data"),
    (broken(b'"delivered_units":1', b'"delivered_units":1.5'), "invalid_data"),
    (broken(b'.678901Z","deadline_at"', b'.678901","deadline_at"'), "invalid_data"),
    (broken(b'"delivered_units":1', b'"surprise":1,"delivered_units":1'), "invalid_data"),
)


@pytest.mark.parametrize(("encoded", "reason"), REFUSED)
def test_what_cannot_be_read_is_refused_by_its_reason(encoded: bytes, reason: str) -> None:
    with pytest.raises(UndecodableEventError) as refusal:
        REGISTRY.decode(encoded)
    assert refusal.value.reason == reason


def test_an_event_that_no_topic_would_take_is_refused_when_it_is_written() -> None:
    request = testing.request_facts(prompt="x" * ENCODED_BYTES_MAX)
    with pytest.raises(EventTooLargeError):
        encode(testing.event(testing.completed(request)))


class _Painted(Payload, frozen=True, kw_only=True):
    """A made-up event in version 3: v1 had `colour` as text, v2 a list, v3 names a medium."""

    event_type: ClassVar[EventType] = EventType.GENERATION_COMPLETED
    event_version: ClassVar[int] = 3
    topic: ClassVar[Topic] = Topic.GENERATION

    colours: tuple[str, ...]
    medium: str

    @property
    def subject(self) -> str:
        return "painting"

    @property
    def account(self) -> UUID | None:
        return None


def _one_colour_to_many(data: Data) -> Data:
    return {"colours": [data["colour"]]}


def _name_the_medium(data: Data) -> Data:
    return {**data, "medium": "oil"}


PAINTED = Registry(
    [_Painted],
    {
        (EventType.GENERATION_COMPLETED, 1): _one_colour_to_many,
        (EventType.GENERATION_COMPLETED, 2): _name_the_medium,
    },
)


def painted(version: int, data: dict[str, Any]) -> bytes:
    stored = msgspec.json.decode(encode(testing.event(testing.completed())))
    return msgspec.json.encode({**stored, "eventversion": version, "data": data})


@pytest.mark.parametrize(
    ("version", "data"),
    [
        (1, {"colour": "red"}),
        (2, {"colours": ["red"]}),
        (3, {"colours": ["red"], "medium": "oil"}),
    ],
)
def test_an_old_version_is_lifted_step_by_step_to_the_newest(
    version: int, data: dict[str, Any]
) -> None:
    event = PAINTED.decode(painted(version, data))
    assert event.data == _Painted(colours=("red",), medium="oil")


def test_an_old_version_that_does_not_fit_its_step_is_refused() -> None:
    with pytest.raises(UndecodableEventError) as refusal:
        PAINTED.decode(painted(1, {"shade": "red"}))
    assert refusal.value.reason == "invalid_data"


def test_a_version_without_its_step_is_refused() -> None:
    with pytest.raises(UndecodableEventError) as refusal:
        Registry([_Painted], {}).decode(painted(2, {"colours": []}))
    assert refusal.value.reason == "invalid_data"


def test_the_account_is_the_key_and_without_one_the_subject() -> None:
    request = testing.request_facts()
    assert testing.event(testing.completed(request)).key == str(request.account_id)
    painting = testing.event(_Painted(colours=(), medium="oil"))
    assert painting.key == "painting"


def test_an_event_has_the_key_that_it_is_published_with_and_no_other() -> None:
    told = testing.event(testing.completed(testing.request_facts(account_id=UUID(int=2**127 + 5))))
    right = told.key.encode()
    assert told.has_key(right)
    assert told.has_key(right)  # remembered by now
    wrong = [
        None,
        b"",
        str(UUID(int=5)).encode(),
        right.upper().replace(b"8", b"A"),
        right.replace(b"-", b""),
        b"{" + right + b"}",
        right[:-1] + b"\xff",
        b"not an id, though it is as long: 36.",
    ]
    assert not any(told.has_key(each) for each in wrong)
    upper = testing.event(testing.completed(testing.request_facts(account_id=UUID(int=0xA << 124))))
    assert upper.has_key(upper.key.encode())
    assert not upper.has_key(upper.key.upper().encode())


def test_an_event_without_an_account_has_its_subject_for_a_key() -> None:
    painting = testing.event(_Painted(colours=(), medium="oil"))
    assert painting.has_key(b"painting")
    assert not painting.has_key(None)
    assert not painting.has_key(b"another")
