"""Account copies, holds and jobs, locked, loaded and written back for a batch of events."""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from asyncpg import Record

from libs.runtime.db import Connection
from services.gateway.domain.books import Hold, Job, Metered
from services.gateway.domain.credits import AccountCopy
from services.gateway.domain.limits import Kind, Subject
from services.gateway.store.jobs import STATE_COLUMNS, encoded, state_of

LOCK_ACCOUNTS = """
    SELECT account_id, version, settled, grace, held FROM credit_account
     WHERE account_id = ANY($1::uuid[]) ORDER BY account_id FOR UPDATE
"""
LOCK_JOBS = f"""
    SELECT j.job_id, j.user_id, j.workspace_id, j.api_key_id, j.tokens_estimated, j.metered_on,
           {STATE_COLUMNS}, h.account_id, h.credits, h.closed_at
      FROM job j JOIN hold h ON h.subject_id = j.job_id
     WHERE j.job_id = ANY($1::uuid[]) ORDER BY j.job_id FOR UPDATE OF j
"""  # noqa: S608  -- put together from constants alone
WRITE_ACCOUNTS = """
    UPDATE credit_account a
       SET version = new.version, settled = new.settled, grace = new.grace, held = new.held
      FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
           AS new (account_id, version, settled, grace, held)
     WHERE a.account_id = new.account_id
"""
CLOSE_HOLDS = """
    UPDATE hold h SET closed_at = new.closed_at
      FROM unnest($1::uuid[], $2::timestamptz[]) AS new (subject_id, closed_at)
     WHERE h.subject_id = new.subject_id
"""
WRITE_JOBS = """
    UPDATE job j
       SET status = new.status, stage = new.stage, progress = new.progress, answer = new.answer,
           charge = new.charge, listing = new.listing, recorded_at = new.recorded_at
      FROM unnest($1::uuid[], $2::text[], $3::text[], $4::smallint[], $5::jsonb[], $6::jsonb[],
                  $7::jsonb[], $8::timestamptz[])
           AS new (job_id, status, stage, progress, answer, charge, listing, recorded_at)
     WHERE j.job_id = new.job_id
"""


async def lock_accounts(
    connection: Connection, account_ids: Collection[UUID]
) -> dict[UUID, AccountCopy]:
    if not account_ids:
        return {}
    rows = await connection.fetch(LOCK_ACCOUNTS, list(account_ids))
    return {
        row["account_id"]: AccountCopy(
            version=row["version"], settled=row["settled"], grace=row["grace"], held=row["held"]
        )
        for row in rows
    }


async def lock_jobs(connection: Connection, job_ids: Collection[UUID]) -> list[Job]:
    """Lock jobs. Lock their accounts before, if holds are to be closed: that guards the holds."""
    if not job_ids:
        return []
    rows = await connection.fetch(LOCK_JOBS, list(job_ids))
    return [
        Job(
            job_id=row["job_id"],
            user_id=row["user_id"],
            hold=Hold(
                account_id=row["account_id"], credits=row["credits"], closed_at=row["closed_at"]
            ),
            metered=_metered(row),
            state=state_of(row),
        )
        for row in rows
    ]


def _metered(row: Record) -> Metered:
    found = (
        (Kind.USER, row["user_id"]),
        (Kind.WORKSPACE, row["workspace_id"]),
        (Kind.KEY, row["api_key_id"]),
    )
    return Metered(
        subjects=tuple(Subject(kind, str(each)) for kind, each in found if each is not None),
        day=row["metered_on"],
        tokens=row["tokens_estimated"],
    )


async def write_accounts(connection: Connection, copies: Mapping[UUID, AccountCopy]) -> None:
    if copies:
        await connection.execute(
            WRITE_ACCOUNTS,
            list(copies),
            [copy.version for copy in copies.values()],
            [copy.settled for copy in copies.values()],
            [copy.grace for copy in copies.values()],
            [copy.held for copy in copies.values()],
        )


async def close_holds(connection: Connection, jobs: Sequence[Job]) -> None:
    if jobs:
        await connection.execute(
            CLOSE_HOLDS, [job.job_id for job in jobs], [job.hold.closed_at for job in jobs]
        )


async def write_jobs(connection: Connection, jobs: Sequence[Job]) -> None:
    if jobs:
        states = [job.state for job in jobs]
        await connection.execute(
            WRITE_JOBS,
            [job.job_id for job in jobs],
            [state.status.value for state in states],
            [state.stage.value for state in states],
            [state.progress for state in states],
            [encoded(state.answer) for state in states],
            [encoded(state.charge) for state in states],
            [encoded(state.listing) for state in states],
            [state.recorded_at for state in states],
        )
