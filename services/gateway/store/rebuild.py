"""Statements of a rebuild: the facts that copies stand on, and what is taken over of the copies."""

from collections.abc import Sequence

import msgspec

from libs.events.generation import RequestFacts
from libs.runtime.db import Connection
from services.gateway.store.jobs import STATE_COLUMNS

ACCEPT_JOBS = """
    WITH accepted AS (
        INSERT INTO job (job_id, account_id, user_id, operation, provider, model, prompt, options,
                         units, unit_credits, price_book_version, created_at, deadline_at,
                         workspace_id, tokens_estimated, metered_on)
        SELECT DISTINCT ON (job_id) *, 0, created_at::date
          FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[],
                      $7::text[], $8::jsonb[], $9::integer[], $10::bigint[], $11::bigint[],
                      $12::timestamptz[], $13::timestamptz[], $14::uuid[])
               AS row (job_id, account_id, user_id, operation, provider, model, prompt, options,
                       units, unit_credits, price_book_version, created_at, deadline_at,
                       workspace_id)
        ON CONFLICT (job_id) DO NOTHING
        RETURNING job_id, account_id, units * unit_credits AS credits, created_at
    ), held AS (
        UPDATE credit_account SET held = held + total.credits
          FROM (SELECT account_id, sum(credits)::bigint AS credits FROM accepted
                 GROUP BY account_id) AS total
         WHERE credit_account.account_id = total.account_id
    )
    INSERT INTO hold (subject_id, account_id, credits, opened_at)
    SELECT job_id, account_id, credits, created_at FROM accepted
"""

# A copy that has meanwhile heard more is left alone.
ADOPT_ACCOUNTS = """
    UPDATE credit_account AS live
       SET version = new.version, settled = new.settled, grace = new.grace
      FROM {schema}.credit_account AS new
     WHERE live.account_id = new.account_id AND live.version <= new.version
       AND (live.version, live.settled, live.grace)
           IS DISTINCT FROM (new.version, new.settled, new.grace)
"""
ADOPT_JOBS = """
    UPDATE job AS live
       SET ({columns}) = (SELECT {columns} FROM {schema}.job WHERE job.job_id = live.job_id)
      FROM {schema}.job AS new
     WHERE live.job_id = new.job_id
       AND num_nonnulls(new.answer, new.charge, new.listing, new.recorded_at) > 0
       AND (live.answer IS NULL OR new.answer IS NOT NULL)
       AND (live.charge IS NULL OR new.charge IS NOT NULL)
       AND (live.listing IS NULL OR new.listing IS NOT NULL)
       AND (live.recorded_at IS NULL OR new.recorded_at IS NOT NULL)
       AND ({live_columns}) IS DISTINCT FROM ({new_columns})
"""


async def accept_jobs(connection: Connection, accepted: Sequence[RequestFacts]) -> None:
    """Jobs and holds as admission wrote them."""
    rows = [
        (
            each.job_id,
            each.account_id,
            each.user_id,
            each.operation,
            each.provider,
            each.model,
            each.prompt,
            msgspec.json.encode(each.options).decode(),
            each.units,
            each.unit_credits,
            each.price_book_version,
            each.requested_at,
            each.deadline_at,
            each.workspace_id,
        )
        for each in accepted
    ]
    if rows:
        await connection.execute(ACCEPT_JOBS, *zip(*rows, strict=True))


async def adopt(connection: Connection, schema: str) -> int:
    """Take over copies that differ, row by row; answers how many. Facts stay as they are."""
    columns = [each.strip() for each in STATE_COLUMNS.split(",")]
    jobs = ADOPT_JOBS.format(
        schema=schema,
        columns=STATE_COLUMNS,
        live_columns=", ".join(f"live.{each}" for each in columns),
        new_columns=", ".join(f"new.{each}" for each in columns),
    )
    done = [
        await connection.execute(statement)
        for statement in (ADOPT_ACCOUNTS.format(schema=schema), jobs)
    ]
    return sum(int(each.rpartition(" ")[2]) for each in done)
