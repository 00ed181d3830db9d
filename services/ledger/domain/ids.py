"""Ids that follow from what they stand for, so that a repeat or a rebuild finds the same ones."""

from uuid import UUID

from libs.events.derived_ids import derived_id

_NAMESPACE = UUID("6a3f6f4e-3d5b-5b0e-9d52-7f7f0a6b1c55")


def opening_id(account_id: UUID) -> UUID:
    """Transaction that opens an account."""
    return derived_id(_NAMESPACE, f"open:{account_id}")


def signup_lot_id(account_id: UUID) -> UUID:
    """Lot of the credits given at sign-up."""
    return derived_id(_NAMESPACE, f"signup-lot:{account_id}")


def reserve_id(job_id: UUID) -> UUID:
    """Transaction that sets a job's credits aside."""
    return derived_id(_NAMESPACE, f"reserve:{job_id}")


def close_id(job_id: UUID) -> UUID:
    """Transaction that captures or releases: one id, since a job gets one of them, once."""
    return derived_id(_NAMESPACE, f"close:{job_id}")
