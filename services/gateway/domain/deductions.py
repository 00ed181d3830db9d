"""Ids of deductions, which say by which key each was asked for."""

from uuid import UUID

from libs.events.derived_ids import derived_id

_NAMESPACE = UUID("9740e97b-2b28-5023-9077-c2fed12ccab0")


def deduction_id(actor: UUID, key: str) -> UUID:
    """The deduction that an administrator has asked for under an idempotency key.

    It stands in the event. So a gateway that knows nothing but its events knows a repeat.
    """
    return derived_id(_NAMESPACE, f"{actor}:{key}")
