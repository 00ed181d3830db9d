"""Whatever stands in a message: what is read in one pass is what the registry reads, or is left."""

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.events.names import EventType
from libs.events.quick import QuickReader
from libs.events.registry import REGISTRY
from libs.events.tests.unit.test_registry import stored_samples

Members = list[tuple[str, str]]
"""The members of an object as they are written, a name more than once where it is so."""

ALL = QuickReader(REGISTRY, list(EventType))
NONE = QuickReader(REGISTRY, [])
TYPES = {each.value for each in EventType}
# What a member may become: right in some places, wrong in others.
VALUES = (
    *("null", "0", "1", "2", "3", "2.0", "3e0", "1.5", "-1", '"2"', "true", "[]", "{}", '""'),
    *('"x"', r'"\u0000"', r'"\ud800"', '"\xe9"', f'"{"s" * 600}"', '"1.0"', '"2.0"', "9" * 30, "{"),
    *('"2026-01-02T03:04:05Z"', '"2026-01-02T03:04:05"', '"not a time"', '{"surprise": 1}'),
    *('"daygen.generation.failed"', '"daygen.generation.completed"', '"daygen.nothing.known"'),
    '"0192f3a4-0000-7000-8000-00000000000f"',
    '"0192F3A4-0000-7000-8000-00000000000F"',
)
NAMES = ("type", "data", "id", "eventversion", "subject", "time", "accountid", "request", "seed")


def _members(encoded: object) -> Members:
    assert isinstance(encoded, dict)
    return [(json.dumps(name), json.dumps(value)) for name, value in encoded.items()]


def _written(members: Members) -> str:
    return "{" + ",".join(f"{name}:{value}" for name, value in members) + "}"


def _escaped(name: str) -> str:
    """The same name, its first letter as an escape."""
    return f'"\\u{ord(name[1]):04x}{name[2:]}'


@st.composite
def _edited(draw: st.DrawFn, members: Members) -> Members:
    """Some members dropped, changed, repeated with another value, or written in another way."""
    members = list(members)
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, len(members) - 1))
        name, value = members[place]
        other = draw(st.sampled_from([*VALUES, value]))
        match draw(st.sampled_from(["drop", "change", "repeat", "add", "escape", "first"])):
            case "drop" if len(members) > 1:
                del members[place]
            case "change":
                members[place] = name, other
            case "repeat":
                members.insert(draw(st.integers(0, len(members))), (name, other))
            case "add":
                new = json.dumps(draw(st.sampled_from([*NAMES, "unheard_of"])))
                members.insert(draw(st.integers(0, len(members))), (new, other))
            case "escape" if name[1] != "\\":
                members[place] = _escaped(name), value
            case _:
                members.insert(0, members.pop(place))
    return members


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """A stored event of any version, written in some other way, rightly or wrongly."""
    sample = json.loads(draw(st.sampled_from(stored_samples())).read_bytes())
    data: dict[str, Any] = sample["data"]
    inner = {
        name: _written(draw(_edited(_members(value)))) if value else "{}"
        for name, value in data.items()
        if isinstance(value, dict)
    }
    written = [(name, inner.get(json.loads(name), value)) for name, value in _members(data)]
    whole = _members(sample | {"data": None})
    body = _written(draw(_edited(written)) if written else [])
    attributes = [(name, body if name == '"data"' else value) for name, value in whole]
    text = _written(draw(_edited(attributes)))
    before, behind = draw(
        st.sampled_from([("", ""), ("", ""), (" ", "\n"), ("[", "]"), ("", "{}")])
    )
    encoded = f"{before}{text}{behind}".encode()
    spoilt = draw(st.sampled_from([None, None, None, b"\xff"]))
    if spoilt is None:
        return encoded
    at = draw(st.integers(0, len(encoded)))
    return encoded[:at] + spoilt + encoded[at:]


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(messages())
def test_what_is_read_in_one_pass_is_what_the_registry_reads(encoded: bytes) -> None:
    read = ALL.read(encoded)
    if read is not None:
        assert read.is_wanted
        assert read.event() == REGISTRY.decode(encoded)
        assert read.subject == REGISTRY.read_envelope(encoded).subject


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(messages())
def test_what_is_passed_over_in_one_pass_is_of_a_type_that_the_registry_knows(
    encoded: bytes,
) -> None:
    read = NONE.read(encoded)
    if read is not None:
        assert not read.is_wanted
        assert REGISTRY.read_envelope(encoded).type in TYPES
