"""What must be true of the books at every moment, asked of the tables themselves."""

from libs.runtime.db import Connection

# Each answers the rows that break a rule.
RULES = {
    "a transaction sums to zero": """
        SELECT account_id, account_version FROM entry
         GROUP BY account_id, account_version HAVING sum(credits) <> 0 OR count(*) < 2
    """,
    "an account's versions have no gap": """
        SELECT account.id FROM account LEFT JOIN transaction ON account_id = account.id
         GROUP BY account.id HAVING count(account_version) <> version
                         OR coalesce(max(account_version), 0) <> version
    """,
    "overdraft and reserved are the sums of their entries": """
        SELECT id FROM account LEFT JOIN entry ON account_id = id GROUP BY id
        HAVING coalesce(sum(credits) FILTER (WHERE book = 'overdraft'), 0) <> overdraft
            OR coalesce(sum(credits) FILTER (WHERE book = 'reserved'), 0) <> reserved
    """,
    "what remains of a lot is the sum of its entries": """
        SELECT id FROM lot LEFT JOIN entry ON lot_id = id
         GROUP BY id HAVING coalesce(sum(entry.credits), 0) <> remaining
    """,
    "nothing remains of a lot that has ended": """
        SELECT id FROM lot WHERE ended_at IS NOT NULL AND remaining > 0
    """,
    "reserved is the sum of the open reservations": """
        SELECT account.id FROM account LEFT JOIN reservation
            ON account_id = account.id AND state = 'reserved'
         GROUP BY account.id HAVING coalesce(sum(credits), 0) <> reserved
    """,
    "revenue is the sum of the captures": """
        SELECT account.id FROM account
         WHERE (SELECT coalesce(sum(credits), 0)
                  FROM entry JOIN transaction USING (account_id, account_version)
                 WHERE account_id = account.id AND book = 'revenue' AND kind = 'capture')
            <> (SELECT coalesce(sum(captured_credits), 0) FROM reservation
                 WHERE account_id = account.id)
    """,
    "the overdraft that is reserved is that of the open reservations": """
        SELECT id FROM account
         WHERE overdraft_reserved <> (
            SELECT coalesce(-sum(entry.credits), 0)
              FROM reservation JOIN entry USING (account_id, account_version)
             WHERE account_id = account.id AND state = 'reserved' AND book = 'overdraft')
    """,
    "settled is the sum of the owner's entries at every version": """
        SELECT account_id, account_version FROM (
            SELECT account_id, account_version, settled_after, sum(moved) OVER (
                       PARTITION BY account_id ORDER BY account_version) AS settled
              FROM transaction CROSS JOIN LATERAL (
                SELECT sum(credits) AS moved FROM entry
                 WHERE entry.account_id = transaction.account_id
                   AND entry.account_version = transaction.account_version
                   AND book IN ('lot', 'overdraft', 'reserved')) AS owners
        ) AS stands WHERE settled <> settled_after
    """,
    "breakage is never below zero": """
        SELECT account_id FROM entry WHERE book = 'breakage'
         GROUP BY account_id HAVING sum(credits) < 0
    """,
    "what ended lots may still give back is in breakage": """
        SELECT id FROM account
         WHERE (SELECT coalesce(sum(reclaimable), 0) FROM lot WHERE account_id = account.id)
             > (SELECT coalesce(sum(credits), 0) FROM entry
                 WHERE account_id = account.id AND book = 'breakage')
    """,
    # What was reclaimed of breakage before is not given back once more.
    "a reversal is the opposite of what it reverses, for the house": """
        SELECT transaction_id FROM remark
          JOIN transaction AS answer ON answer.id = transaction_id
          JOIN transaction AS first ON first.id = reverses_id
         WHERE answer.account_id <> first.account_id OR EXISTS (
            SELECT book FROM entry
             WHERE account_id = answer.account_id AND book IN ('world', 'revenue', 'breakage')
               AND account_version IN (answer.account_version, first.account_version)
             GROUP BY book HAVING sum(credits) <> 0 AND (book <> 'breakage' OR sum(credits) < 0))
    """,
    "settled is the lots, the overdraft and what is reserved": """
        SELECT account.id FROM account JOIN transaction
            ON account_id = account.id AND account_version = version
         WHERE settled_after <> overdraft + reserved
            + (SELECT coalesce(sum(remaining), 0) FROM lot WHERE account_id = account.id)
    """,
}


async def audit(connection: Connection) -> None:
    """Assert every rule."""
    for rule, breaches in RULES.items():
        assert await connection.fetch(breaches) == [], rule
