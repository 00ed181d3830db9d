"""One pass over the bytes gives what the registry gives, or nothing at all."""

from pathlib import Path

import pytest

from libs.events import testing
from libs.events.envelope import ENCODED_BYTES_MAX, encode
from libs.events.generation import GenerationCompleted, JobEvent
from libs.events.names import EventType
from libs.events.quick import QuickReader
from libs.events.registry import REGISTRY
from libs.events.tests.unit.test_registry import REFUSED, stored_samples


class _Delivery(JobEvent, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """A view: how much was delivered."""

    event_type = EventType.GENERATION_COMPLETED
    event_version = GenerationCompleted.event_version
    writers = GenerationCompleted.writers

    delivered_units: int


class _Outdated(_Delivery, frozen=True, kw_only=True):
    event_version = 1


@pytest.mark.parametrize("path", stored_samples(), ids=lambda path: path.stem)
def test_an_event_of_the_newest_version_is_read_as_by_the_registry(path: Path) -> None:
    event = REGISTRY.decode(path.read_bytes())
    read = QuickReader(REGISTRY, list(EventType)).read(path.read_bytes())
    if path.stem.endswith(f".{event.data.event_version}"):
        assert read is not None
        assert read.is_wanted
        assert (read.event(), read.subject) == (event, event.subject)
    else:
        assert read is None


@pytest.mark.parametrize("encoded", [encoded for encoded, _ in REFUSED])
def test_what_the_registry_refuses_is_left_to_it(encoded: bytes) -> None:
    assert QuickReader(REGISTRY, list(EventType)).read(encoded) is None


def test_what_no_topic_would_take_is_left_to_the_registry() -> None:
    encoded = encode(testing.event(testing.completed()))
    padded = encoded.replace(b"{", b"{" + b" " * ENCODED_BYTES_MAX, 1)
    assert QuickReader(REGISTRY, list(EventType)).read(encoded) is not None
    assert QuickReader(REGISTRY, list(EventType)).read(padded) is None


def test_of_other_types_only_the_attributes_are_read() -> None:
    encoded = encode(testing.event(testing.completed()))
    reader = QuickReader(REGISTRY, [EventType.GENERATION_FAILED])
    read = reader.read(encoded.replace(b'"delivered_units":1', b'"delivered_units":"?"'))
    assert read is not None
    assert not read.is_wanted


def test_a_view_is_what_it_names_and_nothing_else() -> None:
    completed = testing.completed()
    views = {EventType.GENERATION_COMPLETED: _Delivery}
    read = QuickReader(REGISTRY, list(EventType), views).read(encode(testing.event(completed)))
    assert read is not None
    assert read.event().data == _Delivery(
        job_id=completed.job_id,
        account_id=completed.account_id,
        delivered_units=completed.delivered_units,
    )


def test_a_view_of_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="_Outdated"):
        QuickReader(REGISTRY, list(EventType), {EventType.GENERATION_COMPLETED: _Outdated})
