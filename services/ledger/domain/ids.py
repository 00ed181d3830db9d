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


def reclaim_id(subject_id: UUID) -> UUID:
    """Transaction that takes back what had ended, for a job or a deduction."""
    return derived_id(_NAMESPACE, f"reclaim:{subject_id}")


def lot_of(transaction_id: UUID) -> UUID:
    """Lot that a transaction opens."""
    return derived_id(_NAMESPACE, f"lot:{transaction_id}")


def payment_id(provider: str, reference: str) -> UUID:
    """Transaction that grants what was paid for."""
    return derived_id(_NAMESPACE, f"payment:{provider}:{reference}")


def refund_id(provider: str, reference: str) -> UUID:
    """Transaction that takes back what a refund or a dispute is about."""
    return derived_id(_NAMESPACE, f"refund:{provider}:{reference}")


def deduction_id(deduction_id: UUID) -> UUID:
    """Transaction of a deduction."""
    return derived_id(_NAMESPACE, f"deduction:{deduction_id}")


def expiry_id(lot_id: UUID) -> UUID:
    """Transaction that ends a lot in its time: it has one end."""
    return derived_id(_NAMESPACE, f"expire:{lot_id}")


def reversal_id(transaction_id: UUID) -> UUID:
    """Transaction that reverses another: there is one at most."""
    return derived_id(_NAMESPACE, f"reverse:{transaction_id}")


def order_id(actor: UUID, key: str) -> UUID:
    """Transaction that a person has ordered under an idempotency key."""
    return derived_id(_NAMESPACE, f"order:{actor}:{key}")
