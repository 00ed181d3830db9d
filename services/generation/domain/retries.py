"""What a failed attempt leads to: another one, or the end of the job.

The user pays once whatever happens here; the question is what we pay, and whether repeating helps.
"""

from libs.events.generation import FailureCode

TRANSIENT = frozenset({FailureCode.RATE_LIMIT, FailureCode.TIMEOUT, FailureCode.SERVER})
TRIES_MAX = 5
UNKNOWNS_MAX = 5
TRIES_MAX_UNSAFE = 2
FIRST_DELAY_SECONDS = 0.5
DELAY_SECONDS_MAX = 30.0


def delay_seconds(tries: int, uniform: float) -> float:
    """How long to wait after this many tries: doubling, with jitter from a number of 0 to 1."""
    ceiling = min(DELAY_SECONDS_MAX, FIRST_DELAY_SECONDS * 2.0 ** min(tries - 1, 16))
    return ceiling * (0.5 + uniform / 2)


def may_retry_failure(code: FailureCode, tries: int, *, is_idempotent: bool) -> bool:
    """After the provider said no: only what may pass by itself, and not for ever.

    A time-out or a broken call may have been billed all the same, so without idempotency it is
    repeated once; a rate limit has surely not been.
    """
    if code not in TRANSIENT:
        return False
    is_safe = is_idempotent or code is FailureCode.RATE_LIMIT
    return tries < (TRIES_MAX if is_safe else TRIES_MAX_UNSAFE)


def may_retry_trouble(tries: int, *, is_free: bool) -> bool:
    """After a fault of our own, such as an object store that is down.

    Until the job's deadline, unless each try may cost money.
    """
    return is_free or tries < TRIES_MAX_UNSAFE


def may_retry_unknown(unknowns: int, *, is_idempotent: bool) -> bool:
    """After this many attempts of which nobody knows how they ended, the last one included.

    The bound for safe providers is against a job that kills every worker that takes it.
    """
    return unknowns < (UNKNOWNS_MAX if is_idempotent else TRIES_MAX_UNSAFE)
