-- What a batch can touch is locked and read in one call, hence in one trip.

-- Each statement sees what was committed before it began: so what is read after the locks has in it
-- everything that their last holders have written. Plans are made once: for lookups as short as
-- these it would cost more to make one than to run it.
CREATE FUNCTION load_books(
    account_ids uuid[], job_ids uuid[], needed_keys text[], transaction_ids uuid[],
    admitted_from timestamptz,
    OUT accounts json, OUT lots json, OUT reservations json, OUT known json, OUT is_awaited boolean
) LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off
AS $$
DECLARE
    reserved_lots uuid[];
BEGIN
    -- Rows first, in sorted order, and only then locks, in sorted order: so no two batches can wait
    -- for each other, and an account that nobody has heard of has a row to lock.
    IF (SELECT count(*) FROM account WHERE id = ANY(account_ids)) < cardinality(account_ids) THEN
        INSERT INTO account (id) SELECT id FROM unnest(account_ids) AS id ORDER BY id
        ON CONFLICT DO NOTHING;
    END IF;
    PERFORM FROM account WHERE id = ANY(account_ids) ORDER BY id FOR NO KEY UPDATE;

    SELECT coalesce(json_agg(listed), '[]') INTO accounts FROM (
        SELECT id AS account_id, version, grace, overdraft, overdraft_reserved, reserved,
               renewed_version, renewed_until
          FROM account WHERE id = ANY(account_ids)
    ) AS listed;

    SELECT coalesce(json_agg(listed), '[]') INTO reservations FROM (
        SELECT job_id, account_id, account_version, credits, state, captured_credits, (
            SELECT coalesce(json_agg(json_build_object(
                       'lot_id', lot_id, 'credits', -entry.credits) ORDER BY line), '[]')
              FROM entry
             WHERE entry.account_id = reservation.account_id
               AND entry.account_version = reservation.account_version
               AND book IN ('lot', 'overdraft') AND entry.credits <> 0) AS lots
          FROM reservation WHERE job_id = ANY(job_ids)
    ) AS listed;

    -- Of lots those that can be spent from, those that open reservations of the jobs give back to,
    -- and those that had not ended when the earliest request of the batch was admitted.
    SELECT array_agg(DISTINCT lot_id) INTO reserved_lots
      FROM reservation JOIN entry USING (account_id, account_version)
     WHERE job_id = ANY(job_ids) AND state = 'reserved' AND book = 'lot';

    SELECT coalesce(json_agg(json_build_object('account_id', account_id, 'lot', json_build_object(
               'lot_id', id, 'wallet', wallet, 'credits', credits, 'remaining', remaining,
               'source', source, 'expires_at', expires_at, 'opened_version', opened_version,
               'priority', priority, 'ended_at', ended_at, 'reclaimable', reclaimable))), '[]')
      INTO lots FROM (
        SELECT * FROM lot WHERE account_id = ANY(account_ids) AND is_spendable
        UNION
        SELECT * FROM lot WHERE id = ANY(reserved_lots) AND account_id = ANY(account_ids)
        UNION
        SELECT * FROM lot
         WHERE account_id = ANY(account_ids) AND is_reclaimable AND ended_at > admitted_from
    ) AS listed;

    SELECT coalesce(json_object_agg(id, account_id), '{}') INTO known
      FROM transaction WHERE id = ANY(transaction_ids) AND job_id IS NULL;
    is_awaited := EXISTS (SELECT FROM waiting WHERE needed_key = ANY(needed_keys));
END $$;
