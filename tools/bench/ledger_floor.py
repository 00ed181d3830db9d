"""The floor of the ledger's bench: the same rows, one database transaction for each event.

It is the best that one transaction each can be: a function on the server, one round trip, rows
locked and written directly, the event's bytes given. It writes into the ledger's own tables, under
the same constraints and triggers.
"""

import asyncio
import os
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID, uuid4

import asyncpg

CONNECTIONS = 8
EVENT_BYTES = 600

FUNCTION = """
CREATE OR REPLACE FUNCTION floor_book(
    cause uuid, payer uuid, job uuid, price bigint, is_capture boolean, at timestamptz,
    told uuid, encoded bytea
) RETURNS void LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    held account;
    paid lot;
BEGIN
    INSERT INTO inbox (consumer, event_id) VALUES ('floor', cause) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN RETURN; END IF;
    SELECT * INTO held FROM account WHERE id = payer FOR NO KEY UPDATE;
    IF is_capture THEN
        UPDATE reservation SET state = 'captured', captured_credits = credits
         WHERE job_id = job AND state = 'reserved';
        UPDATE account SET version = version + 1, reserved = reserved - price WHERE id = payer;
    ELSE
        SELECT * INTO paid FROM lot
         WHERE account_id = payer AND is_spendable ORDER BY expires_at, opened_version LIMIT 1;
        UPDATE lot SET remaining = remaining - price WHERE id = paid.id;
        UPDATE account SET version = version + 1, reserved = reserved + price WHERE id = payer;
        INSERT INTO reservation VALUES (job, payer, held.version + 1, price, 'reserved', 0);
    END IF;
    WITH header AS (
        INSERT INTO transaction (account_id, account_version, id, kind, job_id, settled_after,
                                 grace_after, event_id, causation_id, correlation_id, occurred_at)
        VALUES (payer, held.version + 1, gen_random_uuid(),
                CASE WHEN is_capture THEN 'capture' ELSE 'reserve' END, job, 0, 0, told, cause,
                job, at)
    )
    INSERT INTO entry (account_id, account_version, line, book, lot_id, credits)
    VALUES (payer, held.version + 1, 0, CASE WHEN is_capture THEN 'reserved' ELSE 'lot' END,
            paid.id, -price),
           (payer, held.version + 1, 1, CASE WHEN is_capture THEN 'revenue' ELSE 'reserved' END,
            NULL, price);
    PERFORM append_to_outbox(ARRAY[told], ARRAY['daygen.credits'],
                             ARRAY[convert_to(payer::text, 'UTF8')], ARRAY[NULL]::jsonb[],
                             ARRAY[encoded]);
END $$
"""
CALL = "SELECT floor_book($1, $2, $3, $4, $5, $6, $7, $8)"


async def book(dsn: str, jobs: Sequence[tuple[UUID, UUID]], at: datetime) -> None:
    """Reserve and then capture (account, job) pairs, each step a transaction of its own."""
    pool = await asyncpg.create_pool(
        dsn,
        min_size=CONNECTIONS,
        max_size=CONNECTIONS,
        server_settings={"search_path": "ledger", "jit": "off"},
    )
    encoded = os.urandom(EVENT_BYTES)
    async with pool:
        for is_capture in (False, True):
            waiting = iter(jobs)

            async def work(*, is_capture: bool) -> None:
                async with pool.acquire() as connection:
                    statement = await connection.prepare(CALL)
                    for account_id, job_id in waiting:  # noqa: B023  # one iterator for all
                        await statement.fetchval(
                            uuid4(), account_id, job_id, 1, is_capture, at, uuid4(), encoded
                        )

            await asyncio.gather(*(work(is_capture=is_capture) for _ in range(CONNECTIONS)))


async def install(dsn: str) -> None:
    """Create the function beside the ledger's tables."""
    connection = await asyncpg.connect(dsn, server_settings={"search_path": "ledger"})
    try:
        await connection.execute(FUNCTION)
    finally:
        await connection.close()
