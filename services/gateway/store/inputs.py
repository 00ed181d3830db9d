"""Which stored pictures jobs refer to."""

from collections.abc import Sequence

from libs.events.generation import RequestFacts
from libs.runtime.db import Connection

REFER = """
    INSERT INTO job_input (job_id, place, key)
    SELECT * FROM unnest($1::uuid[], $2::smallint[], $3::text[]) ON CONFLICT DO NOTHING
"""
# As long as a job's hold is open, generation may still work on it.
OPEN_KEYS = """
    SELECT DISTINCT key FROM hold JOIN job_input ON job_id = subject_id WHERE closed_at IS NULL
"""


async def refer(connection: Connection, jobs: Sequence[RequestFacts]) -> None:
    """Write down what these jobs refer to, which most do not."""
    rows = [(each.job_id, place, key) for each in jobs for place, key in enumerate(each.input_keys)]
    if rows:
        await connection.execute(REFER, *map(list, zip(*rows, strict=True)))


async def open_keys(connection: Connection) -> frozenset[str]:
    """What jobs under way refer to."""
    return frozenset(row["key"] for row in await connection.fetch(OPEN_KEYS))
