"""How long jobs took of late, and how many wait before one."""

from datetime import datetime, timedelta
from uuid import UUID

from libs.runtime.db import Connection
from services.gateway.domain.forecasts import Pace, Paces

# From what users were told of late: that is found by its time, whatever the table of jobs has grown
# to.
SELECT_PACES = """
    SELECT provider, model, operation,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY told_at - created_at) AS usual,
           percentile_cont(0.9) WITHIN GROUP (ORDER BY told_at - created_at) AS slow
      FROM (SELECT job_id, kind, told_at FROM feed
             WHERE told_at > $1 ORDER BY told_at DESC LIMIT $2) late
      JOIN job USING (job_id)
     WHERE kind = 'job.completed'
     GROUP BY provider, model, operation
"""
# Open holds are those of jobs under way, few among all that ever were.
SELECT_AHEAD = """
    SELECT count(*) FROM (
           SELECT FROM hold h JOIN job j ON j.job_id = h.subject_id
            WHERE h.closed_at IS NULL AND h.opened_at <= $2
              AND j.status = 'PENDING' AND j.provider = $1 AND (j.created_at, j.job_id) < ($2, $3)
            LIMIT $4) AS before
"""


async def paces(connection: Connection, since: datetime, rows_max: int) -> Paces:
    """How long jobs took that have ended since then."""
    rows = await connection.fetch(SELECT_PACES, since, rows_max)
    return {
        (row["provider"], row["model"], row["operation"]): Pace(
            usual=max(row["usual"], timedelta()), slow=max(row["slow"], timedelta())
        )
        for row in rows
    }


async def ahead(
    connection: Connection, provider: str, created_at: datetime, job_id: UUID, most: int
) -> int:
    """How many jobs were ordered of a provider before one, and have not begun."""
    count: int = await connection.fetchval(SELECT_AHEAD, provider, created_at, job_id, most)
    return count
