-- What a batch can touch is locked and read in one call, hence in one trip.

-- Each statement sees what was committed before it began: so what is read after the locks has in it
-- everything that their last holders have written. Plans are made once: for lookups as short as
-- these it would cost more to make one than to run it.
CREATE FUNCTION load_books(
    account_ids uuid[], job_ids uuid[], needed_keys text[],
    OUT accounts json, OUT reservations json, OUT is_awaited boolean
) LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off
AS $$
BEGIN
    -- Rows first, in sorted order, and only then locks, in sorted order: so no two batches can wait
    -- for each other, and an account that nobody has heard of has a row to lock.
    IF (SELECT count(*) FROM account WHERE id = ANY(account_ids)) < cardinality(account_ids) THEN
        INSERT INTO account (id) SELECT id FROM unnest(account_ids) AS id ORDER BY id
        ON CONFLICT DO NOTHING;
    END IF;
    PERFORM FROM account WHERE id = ANY(account_ids) ORDER BY id FOR NO KEY UPDATE;

    -- Of lots those that can be spent from, and those that an open reservation gives back to.
    SELECT (SELECT coalesce(json_agg(known), '[]') FROM (
                SELECT id AS account_id, version, grace, overdraft, reserved, (
                    SELECT coalesce(json_agg(held), '[]') FROM (
                        SELECT id AS lot_id, wallet, credits, remaining, source, expires_at,
                               opened_version
                          FROM lot
                         WHERE account_id = account.id AND (remaining > 0 OR id IN (
                            SELECT lot_id
                              FROM reservation JOIN entry USING (account_id, account_version)
                             WHERE job_id = ANY(job_ids) AND state = 'reserved' AND book = 'lot'))
                    ) AS held) AS lots
                  FROM account WHERE id = ANY(account_ids)
            ) AS known),
           (SELECT coalesce(json_agg(known), '[]') FROM (
                SELECT job_id, account_id, account_version, credits, state, captured_credits, (
                    SELECT coalesce(json_agg(json_build_object(
                               'lot_id', lot_id, 'credits', -entry.credits) ORDER BY line), '[]')
                      FROM entry
                     WHERE entry.account_id = reservation.account_id
                       AND entry.account_version = reservation.account_version
                       AND book IN ('lot', 'overdraft') AND entry.credits <> 0) AS lots
                  FROM reservation WHERE job_id = ANY(job_ids)
            ) AS known),
           EXISTS (SELECT FROM waiting WHERE needed_key = ANY(needed_keys))
      INTO accounts, reservations, is_awaited;
END $$;
