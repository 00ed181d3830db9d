"""Lifts data of older event versions, one pure function per step.

A step takes the data of version N as decoded JSON and returns the data of version N + 1. Published
history is never rewritten, so a step, once released, stays for ever.
"""

from collections.abc import Callable, Mapping
from typing import Any

from libs.events.names import EventType

Data = dict[str, Any]
Upcaster = Callable[[Data], Data]


def added_with_defaults(data: Data) -> Data:
    """The step to a version whose new fields all have the defaults that the old one meant."""
    return data


UPCASTERS: Mapping[tuple[EventType, int], Upcaster] = {
    (EventType.CREDITS_GRANTED, 1): added_with_defaults,
    (EventType.CREDITS_CAPTURED, 1): added_with_defaults,
    (EventType.CREDITS_RELEASED, 1): added_with_defaults,
    (EventType.CREDITS_REVERSED, 1): added_with_defaults,
    (EventType.GENERATION_COMPLETED, 1): added_with_defaults,
    (EventType.GENERATION_FAILED, 1): added_with_defaults,
    (EventType.GENERATION_COMPLETED, 2): added_with_defaults,
    (EventType.GENERATION_FAILED, 2): added_with_defaults,
}
"""(event type, version it lifts from) -> the step."""


def lift(
    data: Data,
    event_type: EventType,
    version: int,
    newest: int,
    steps: Mapping[tuple[EventType, int], Upcaster] = UPCASTERS,
) -> Data:
    """Data of `version` lifted to `newest`.

    Raises:
        KeyError: a step is missing.
    """
    for step in range(version, newest):
        data = steps[event_type, step](data)
    return data
