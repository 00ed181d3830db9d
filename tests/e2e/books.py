"""What must hold in everybody's tables once all jobs have ended."""

import asyncpg

TERMINAL = "status IN ('COMPLETED', 'FAILED', 'CANCELLED')"

# Each query counts what is wrong, so the only good answer is 0.
WRONG = {
    "jobs that have not ended": f"SELECT count(*) FROM gateway.job WHERE NOT {TERMINAL}",
    "open holds": "SELECT count(*) FROM gateway.hold WHERE closed_at IS NULL",
    "accounts whose held credits are not their open holds": """
        SELECT count(*) FROM gateway.credit_account AS account
         WHERE held <> (SELECT coalesce(sum(credits), 0) FROM gateway.hold
                         WHERE hold.account_id = account.account_id AND closed_at IS NULL)""",
    "completed jobs without exactly one capture": """
        SELECT count(*) FROM gateway.job
         WHERE status = 'COMPLETED' AND 1 <> (
            SELECT count(*) FROM ledger.transaction
             WHERE transaction.job_id = job.job_id AND kind = 'capture')""",
    "completed jobs charged other than delivered": """
        SELECT count(*) FROM gateway.job JOIN ledger.reservation USING (job_id)
          JOIN billing.usage USING (job_id)
         WHERE status = 'COMPLETED' AND captured_credits <> unit_credits * units_delivered""",
    "jobs that cost something without being completed": """
        SELECT count(*) FROM gateway.job JOIN ledger.reservation USING (job_id)
         WHERE status <> 'COMPLETED' AND (state <> 'released' OR captured_credits <> 0)""",
    "completed jobs without one gallery entry per picture": """
        SELECT count(*) FROM gateway.job JOIN billing.usage USING (job_id)
         WHERE status = 'COMPLETED' AND units_delivered <> (
            SELECT count(*) FROM gallery.item WHERE item.job_id = job.job_id)""",
    "gallery entries of other jobs": """
        SELECT count(*) FROM gallery.item LEFT JOIN gateway.job USING (job_id)
         WHERE status IS DISTINCT FROM 'COMPLETED'""",
    "jobs without exactly one usage row": """
        SELECT count(*) FROM gateway.job WHERE 1 <> (
            SELECT count(*) FROM billing.usage WHERE usage.job_id = job.job_id)""",
    "sum of all books": "SELECT coalesce(sum(credits), 0) FROM ledger.entry",
    "accounts whose copy differs from the ledger": """
        SELECT count(*) FROM gateway.credit_account AS copy
          JOIN ledger.account ON account.id = copy.account_id
         WHERE copy.settled <> account.overdraft + account.reserved + (
            SELECT coalesce(sum(remaining), 0) FROM ledger.lot
             WHERE lot.account_id = account.id)""",
    "reserved credits left over": "SELECT coalesce(sum(reserved), 0) FROM ledger.account",
    "messages parked or waiting": """
        SELECT (SELECT count(*) FROM gateway.parked) + (SELECT count(*) FROM generation.parked)
             + (SELECT count(*) FROM ledger.parked) + (SELECT count(*) FROM gallery.parked)
             + (SELECT count(*) FROM billing.parked) + (SELECT count(*) FROM ledger.waiting)""",
}


async def what_is_wrong(connection: "asyncpg.Connection[asyncpg.Record]") -> dict[str, int]:
    """The broken promises by name; empty when every number has its reason."""
    counts = {name: await connection.fetchval(query) for name, query in WRONG.items()}
    return {name: int(count) for name, count in counts.items() if count}
