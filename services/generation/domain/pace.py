"""How fast a provider is called, over all replicas: by our own limit, and by what it asks for.

A limit of calls a minute is kept by the generic cell rate algorithm (ITU-T I.371, annex A): each
call moves the provider's `paced_at` by its share of a minute, and no call begins while that is more
than a second's calls ahead. A call for several pictures counts as so many.

A provider that answers with a rest is asking all of us, not the one job that met it: nobody calls
it before. What waits stays in the queue, in its order; nobody is refused for it. Both are counted
where jobs are claimed: `migrations/0002_create_claim_and_completion.sql`.
"""

from datetime import datetime, timedelta

from libs.events.generation import FailureCode

REST_MAX = timedelta(minutes=5)  # it may be wrong: then one call in so long finds out


def rest_until(code: FailureCode, seconds: float, now: datetime) -> datetime | None:
    """Until when a provider is left alone after it has answered so; None: not at all."""
    if code is not FailureCode.RATE_LIMIT or seconds <= 0:
        return None
    return now + min(REST_MAX, timedelta(seconds=seconds))
