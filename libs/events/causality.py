"""The order in which events led to each other."""

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from libs.events.envelope import Envelope


def causal_order(events: Sequence[Envelope]) -> list[Envelope]:
    """Causes before effects; what one cause led to stands in the order of time.

    An event whose cause is not among them counts as a beginning.
    """
    known = {event.id for event in events}
    effects: defaultdict[UUID | None, list[Envelope]] = defaultdict(list)
    for event in sorted(events, key=lambda each: (each.time, each.id)):
        effects[event.causationid if event.causationid in known else None].append(event)
    ordered: list[Envelope] = []
    ready = list(effects[None])
    while ready:
        ready.sort(key=lambda each: (each.time, each.id))
        event = ready.pop(0)
        ordered.append(event)
        ready.extend(effects[event.id])
    return ordered


def depths(events: Sequence[Envelope]) -> dict[UUID, int]:
    """How many causes stand before each event, given in causal order."""
    found: dict[UUID, int] = {}
    for event in events:
        found[event.id] = found.get(event.causationid, -1) + 1 if event.causationid else 0
    return found
