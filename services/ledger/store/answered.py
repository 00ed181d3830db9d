"""Facts of answered jobs, as receipts show them, and what those jobs moved."""

from collections.abc import Collection, Sequence
from uuid import UUID

import msgspec
from msgspec import Struct

from libs.runtime.db import Connection
from services.ledger.domain.receipts import AnsweredJob

# The first answer stands, as it does in generation.
RECORD = """
    INSERT INTO answered_job (job_id, account_id, user_id, facts)
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::jsonb[])
    ON CONFLICT DO NOTHING
"""
FIND = "SELECT facts FROM answered_job WHERE job_id = $1"
FORGET = """
    UPDATE answered_job
       SET facts = facts || jsonb_build_object(
               'job', facts->'job' || '{"promptHash": null, "images": []}')
     WHERE account_id = ANY($1::uuid[])
"""
MOVES = """
    SELECT account_id, kind, event_id FROM transaction WHERE job_id = $1 ORDER BY account_version
"""

_read = msgspec.json.Decoder(AnsweredJob).decode


class Moved(Struct, frozen=True, kw_only=True):
    """A transaction of a job."""

    account_id: UUID
    kind: str
    event_id: UUID


async def record(connection: Connection, jobs: Sequence[AnsweredJob]) -> None:
    """Write down answered jobs; a repeat changes nothing."""
    if jobs:
        await connection.execute(
            RECORD,
            [each.job.job_id for each in jobs],
            [each.job.account_id for each in jobs],
            [each.job.user_id for each in jobs],
            [msgspec.json.encode(each).decode() for each in jobs],
        )


async def forget(connection: Connection, account_ids: Collection[UUID]) -> None:
    """Drop what tells of the words and pictures of erased persons."""
    if account_ids:
        await connection.execute(FORGET, list(account_ids))


async def find(connection: Connection, job_id: UUID) -> AnsweredJob | None:
    """One answered job."""
    found = await connection.fetchval(FIND, job_id)
    return None if found is None else _read(found)


async def moves(connection: Connection, job_id: UUID) -> list[Moved]:
    """What the job moved, in order: its reservation, and what closed that."""
    return [Moved(**row) for row in await connection.fetch(MOVES, job_id)]
