"""The holds that are open, as a whole."""

from datetime import datetime

from msgspec import Struct

from libs.runtime.db import Connection

# The count of a very long outage is long: past this number it matters no more how long.
ROWS_MAX = 100_000
# A hold of a job should end with the job; any other one as soon as it is heard of.
MEASURE = f"""
    SELECT (SELECT count(*) FROM (SELECT FROM hold WHERE closed_at IS NULL LIMIT {ROWS_MAX}) AS h)
               AS open,
           (SELECT opened_at FROM hold WHERE closed_at IS NULL ORDER BY opened_at LIMIT 1)
               AS oldest,
           (SELECT count(*) FROM (
                SELECT FROM (
                    SELECT subject_id, opened_at FROM hold
                     WHERE closed_at IS NULL AND opened_at < $1 ORDER BY opened_at LIMIT {ROWS_MAX}
                ) AS old LEFT JOIN job ON job_id = subject_id
                 WHERE coalesce(deadline_at, opened_at) < $1
            ) AS late) AS overdue
"""  # noqa: S608  # a number of our own


class OpenHolds(Struct, frozen=True, kw_only=True):
    open: int
    overdue: int
    oldest: datetime | None


async def measure(connection: Connection, *, due_before: datetime) -> OpenHolds:
    """How many there are, and how many should have closed before that moment."""
    row = await connection.fetchrow(MEASURE, due_before)
    assert row is not None  # noqa: S101  # a query without a FROM has one row
    return OpenHolds(open=row["open"], overdue=row["overdue"], oldest=row["oldest"])
