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
    "reserved is the sum of the open reservations": """
        SELECT account.id FROM account LEFT JOIN reservation
            ON account_id = account.id AND state = 'reserved'
         GROUP BY account.id HAVING coalesce(sum(credits), 0) <> reserved
    """,
    "revenue is the sum of the captures": """
        SELECT account.id FROM account
         WHERE (SELECT coalesce(sum(credits), 0) FROM entry
                 WHERE account_id = account.id AND book = 'revenue')
            <> (SELECT coalesce(sum(captured_credits), 0) FROM reservation
                 WHERE account_id = account.id)
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
