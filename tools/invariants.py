"""What must hold in everybody's tables once all jobs have ended: for the drill and the tests."""

from collections.abc import Mapping
from enum import StrEnum

import asyncpg
from msgspec import Struct

from libs.events.names import Service

# Whose person was erased has no pictures any more; the books stay.
IS_KNOWN = """NOT EXISTS (
            SELECT FROM gateway.erased_account WHERE erased_account.account_id = job.account_id)"""
TERMINAL = "status IN ('COMPLETED', 'FAILED', 'CANCELLED')"
PARKED = " + ".join(
    f"(SELECT count(*) FROM {service}.parked WHERE resolved_at IS NULL)"  # noqa: S608 - our names
    for service in Service
)
WAITING = " + ".join(
    f"(SELECT count(*) FROM {service}.waiting)"  # noqa: S608 - names of our own
    for service in Service
)


class Promise(StrEnum):
    """Which promise a wrong row breaks."""

    LOST = "lost"
    DOUBLED = "doubled"
    BOOKS = "books"


class Invariant(Struct, frozen=True):
    """A query that counts what is wrong, so the only good answer is 0."""

    promise: Promise
    query: str


INVARIANTS: Mapping[str, Invariant] = {
    "jobs that have not ended": Invariant(
        Promise.LOST,
        f"SELECT count(*) FROM gateway.job WHERE NOT {TERMINAL}",  # noqa: S608 - our constant
    ),
    "completed jobs without a capture": Invariant(
        Promise.LOST,
        """SELECT count(*) FROM gateway.job WHERE status = 'COMPLETED' AND NOT EXISTS (
            SELECT FROM ledger.transaction
             WHERE transaction.job_id = job.job_id AND kind = 'capture')""",
    ),
    "completed jobs with fewer gallery entries than pictures": Invariant(
        Promise.LOST,
        f"""SELECT count(*) FROM gateway.job JOIN billing.usage USING (job_id)
            WHERE status = 'COMPLETED' AND {IS_KNOWN} AND units_delivered > (
            SELECT count(*) FROM gallery.item WHERE item.job_id = job.job_id)""",  # noqa: S608
    ),
    "jobs without a usage row": Invariant(
        Promise.LOST,
        """SELECT count(*) FROM gateway.job WHERE NOT EXISTS (
            SELECT FROM billing.usage WHERE usage.job_id = job.job_id)""",
    ),
    "messages parked": Invariant(Promise.LOST, f"SELECT {PARKED}"),
    "messages waiting": Invariant(Promise.LOST, f"SELECT {WAITING}"),
    "jobs captured more than once": Invariant(
        Promise.DOUBLED,
        """SELECT count(*) FROM (SELECT FROM ledger.transaction WHERE kind = 'capture'
            GROUP BY job_id HAVING count(*) > 1) AS repeated""",
    ),
    "completed jobs with more gallery entries than pictures": Invariant(
        Promise.DOUBLED,
        """SELECT count(*) FROM gateway.job JOIN billing.usage USING (job_id)
            WHERE status = 'COMPLETED' AND units_delivered < (
            SELECT count(*) FROM gallery.item WHERE item.job_id = job.job_id)""",
    ),
    "gallery entries of other jobs": Invariant(
        Promise.DOUBLED,
        """SELECT count(*) FROM gallery.item LEFT JOIN gateway.job USING (job_id)
            WHERE status IS DISTINCT FROM 'COMPLETED'""",
    ),
    "jobs with more than one usage row": Invariant(
        Promise.DOUBLED,
        """SELECT count(*) FROM (SELECT FROM billing.usage
            GROUP BY job_id HAVING count(*) > 1) AS repeated""",
    ),
    "sum of all books": Invariant(
        Promise.BOOKS, "SELECT abs(coalesce(sum(credits), 0)) FROM ledger.entry"
    ),
    "open holds": Invariant(
        Promise.BOOKS, "SELECT count(*) FROM gateway.hold WHERE closed_at IS NULL"
    ),
    "accounts whose held credits are not their open holds": Invariant(
        Promise.BOOKS,
        """SELECT count(*) FROM gateway.credit_account AS account
            WHERE held <> (SELECT coalesce(sum(credits), 0) FROM gateway.hold
                            WHERE hold.account_id = account.account_id AND closed_at IS NULL)""",
    ),
    "completed jobs charged other than delivered": Invariant(
        Promise.BOOKS,
        """SELECT count(*) FROM gateway.job JOIN ledger.reservation USING (job_id)
             JOIN billing.usage USING (job_id)
            WHERE status = 'COMPLETED' AND captured_credits <> unit_credits * units_delivered""",
    ),
    "jobs that cost something without being completed": Invariant(
        Promise.BOOKS,
        """SELECT count(*) FROM gateway.job JOIN ledger.reservation USING (job_id)
            WHERE status <> 'COMPLETED' AND (state <> 'released' OR captured_credits <> 0)""",
    ),
    "accounts whose copy differs from the ledger": Invariant(
        Promise.BOOKS,
        """SELECT count(*) FROM gateway.credit_account AS copy
             JOIN ledger.account ON account.id = copy.account_id
            WHERE copy.settled <> account.overdraft + account.reserved + (
               SELECT coalesce(sum(remaining), 0) FROM ledger.lot
                WHERE lot.account_id = account.id)""",
    ),
    "reserved credits left over": Invariant(
        Promise.BOOKS, "SELECT coalesce(sum(reserved), 0) FROM ledger.account"
    ),
}


async def what_is_wrong(connection: "asyncpg.Connection[asyncpg.Record]") -> dict[str, int]:
    """The broken invariants by name; empty when every number has its reason."""
    counts = {
        name: int(await connection.fetchval(invariant.query))
        for name, invariant in INVARIANTS.items()
    }
    return {name: count for name, count in counts.items() if count}
