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
    is_always: bool = False  # also in the middle of things, as any one instant shows it


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
        is_always=True,
    ),
    "completed jobs with fewer gallery entries than pictures": Invariant(
        Promise.LOST,
        f"""SELECT count(*) FROM gateway.job JOIN billing.usage USING (job_id)
            WHERE status = 'COMPLETED' AND {IS_KNOWN} AND units_delivered > (
            SELECT count(*) FROM gallery.item WHERE item.job_id = job.job_id) + (
            SELECT count(*) FROM gallery.item_fact
             WHERE item_fact.job_id = job.job_id AND is_deleted)""",  # noqa: S608
        is_always=True,
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
        is_always=True,
    ),
    "completed jobs with more gallery entries than pictures": Invariant(
        Promise.DOUBLED,
        """SELECT count(*) FROM gateway.job JOIN billing.usage USING (job_id)
            WHERE status = 'COMPLETED' AND units_delivered < (
            SELECT count(*) FROM gallery.item WHERE item.job_id = job.job_id)""",
        is_always=True,
    ),
    "gallery entries of other jobs": Invariant(
        Promise.DOUBLED,
        """SELECT count(*) FROM gallery.item LEFT JOIN gateway.job USING (job_id)
            WHERE item.job_id IS NOT NULL AND status IS DISTINCT FROM 'COMPLETED'""",
    ),
    "jobs with more than one usage row": Invariant(
        Promise.DOUBLED,
        """SELECT count(*) FROM (SELECT FROM billing.usage
            GROUP BY job_id HAVING count(*) > 1) AS repeated""",
        is_always=True,
    ),
    "sum of all books": Invariant(
        Promise.BOOKS,
        "SELECT abs(coalesce(sum(credits), 0)) FROM ledger.entry",
        is_always=True,
    ),
    "transactions that do not sum to zero": Invariant(
        Promise.BOOKS,
        """SELECT count(*) FROM (SELECT FROM ledger.entry GROUP BY account_id, account_version
            HAVING sum(credits) <> 0 OR count(*) < 2) AS broken""",
        is_always=True,
    ),
    "accounts whose versions have a gap": Invariant(
        Promise.BOOKS,
        """SELECT count(*) FROM (
            SELECT FROM ledger.account LEFT JOIN ledger.transaction ON account_id = account.id
             GROUP BY account.id HAVING count(account_version) <> version
                OR coalesce(max(account_version), 0) <> version) AS broken""",
        is_always=True,
    ),
    "accounts that are not the sum of their entries": Invariant(
        Promise.BOOKS,
        """SELECT count(*) FROM (
            SELECT FROM ledger.account LEFT JOIN ledger.entry ON account_id = account.id
             GROUP BY account.id
            HAVING coalesce(sum(credits) FILTER (WHERE book = 'overdraft'), 0) <> overdraft
                OR coalesce(sum(credits) FILTER (WHERE book = 'reserved'), 0) <> reserved
            ) AS broken""",
        is_always=True,
    ),
    "lots that are not the sum of their entries": Invariant(
        Promise.BOOKS,
        """SELECT count(*) FROM (
            SELECT FROM ledger.lot LEFT JOIN ledger.entry ON lot_id = lot.id
             GROUP BY lot.id HAVING coalesce(sum(entry.credits), 0) <> remaining) AS broken""",
        is_always=True,
    ),
    "accounts whose reserved credits are not their open reservations": Invariant(
        Promise.BOOKS,
        """SELECT count(*) FROM ledger.account
            WHERE reserved <> (SELECT coalesce(sum(credits), 0) FROM ledger.reservation
                                WHERE account_id = account.id AND state = 'reserved')""",
        is_always=True,
    ),
    # A hold is opened before its job is asked for, and closed after the ledger has closed.
    "open reservations without an open hold of as many credits": Invariant(
        Promise.BOOKS,
        """SELECT count(*) FROM ledger.reservation WHERE state = 'reserved' AND NOT EXISTS (
            SELECT FROM gateway.hold
             WHERE subject_id = job_id AND closed_at IS NULL
               AND hold.credits = reservation.credits)""",
        is_always=True,
    ),
    "copies of accounts that the ledger has not told so": Invariant(
        Promise.BOOKS,
        """SELECT count(*) FROM gateway.credit_account AS copy WHERE version > 0 AND NOT EXISTS (
            SELECT FROM ledger.transaction
             WHERE transaction.account_id = copy.account_id AND account_version = copy.version
               AND (settled_after, grace_after) = (copy.settled, copy.grace))""",
        is_always=True,
    ),
    "open holds": Invariant(
        Promise.BOOKS, "SELECT count(*) FROM gateway.hold WHERE closed_at IS NULL"
    ),
    "accounts whose held credits are not their open holds": Invariant(
        Promise.BOOKS,
        """SELECT count(*) FROM gateway.credit_account AS account
            WHERE held <> (SELECT coalesce(sum(credits), 0) FROM gateway.hold
                            WHERE hold.account_id = account.account_id AND closed_at IS NULL)""",
        is_always=True,
    ),
    "completed jobs charged other than delivered": Invariant(
        Promise.BOOKS,
        """SELECT count(*) FROM gateway.job JOIN ledger.reservation USING (job_id)
             JOIN billing.usage USING (job_id)
            WHERE status = 'COMPLETED' AND captured_credits <> unit_credits * units_delivered""",
        is_always=True,
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
    """The broken invariants by name, once all is at rest; empty if every number has its reason."""
    return await _broken(connection, INVARIANTS)


async def what_is_wrong_now(connection: "asyncpg.Connection[asyncpg.Record]") -> dict[str, int]:
    """Those that are broken although jobs are under way: all seen at one instant."""
    always = {name: each for name, each in INVARIANTS.items() if each.is_always}
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        return await _broken(connection, always)


async def _broken(
    connection: "asyncpg.Connection[asyncpg.Record]", invariants: Mapping[str, Invariant]
) -> dict[str, int]:
    counts = {
        name: int(await connection.fetchval(invariant.query, timeout=None))
        for name, invariant in invariants.items()
    }
    return {name: count for name, count in counts.items() if count}
