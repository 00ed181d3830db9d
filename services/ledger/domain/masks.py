"""What of an event's data its owner may read: nothing of attempts, of costs to us, of others."""

from typing import Any, Final

import msgspec

from libs.events.envelope import Envelope
from services.ledger.domain.story.story import data_of

# Names of fields, wherever they stand. A provider's own words are told by code alone; a picture's
# key holds the attempt that made it.
INSIDE: Final = frozenset({
    "actor",
    "attempt",
    "attempt_id",
    "created_by",
    "input_keys",
    "key",
    "message",
    "provider_cost_microusd",
    "provider_cost_source",
    "provider_references",
    "upload_ms",
})  # fmt: skip


def for_owner(envelope: Envelope) -> dict[str, Any] | None:
    """An event's data for its owner; None where this release does not know what it holds."""
    data = data_of(envelope)
    return None if data is None else _shown(msgspec.to_builtins(data))


def _shown(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _shown(each) for name, each in value.items() if name not in INSIDE}
    if isinstance(value, list | tuple):
        return [_shown(each) for each in value]
    return value
