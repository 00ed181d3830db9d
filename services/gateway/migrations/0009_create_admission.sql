-- What admissions depend on, for many requests in one round trip. Each statement of a function sees what was committed before
-- it began: so what is read after the accounts' locks includes everything that the locks' last holders have written.
--   locking 'wait': lock the accounts.  'skip': lock those that nobody else has locked; the others answer is_busy.  'none': read.
-- Then the allowances that are named are locked, providers' last. They and the book in force stand in the first row alone.
CREATE FUNCTION admission_standings(
    accounts uuid[], acting uuid[], api_keys uuid[], routes text[], idempotency_keys text[], remembered interval, locking text,
    kinds text[], subjects text[],
    OUT at timestamptz, OUT is_busy boolean, OUT is_known boolean, OUT is_banned boolean, OUT is_key_revoked boolean,
    OUT version bigint, OUT settled bigint, OUT grace bigint, OUT held bigint,
    OUT earlier_job uuid, OUT earlier_fingerprint bytea, OUT book_version bigint, OUT book text, OUT allowances allowance[]
) RETURNS SETOF record LANGUAGE plpgsql SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    locked uuid[] := accounts;
    moment timestamptz;
    book_in_force price_book;
    taken allowance[];
BEGIN
    IF locking <> 'none' THEN
        -- Others wait for these rows: a process that stands still in the middle may not keep them for long.
        PERFORM set_config('idle_in_transaction_session_timeout', '5000', true);
    END IF;
    IF locking = 'wait' THEN
        PERFORM FROM credit_account a WHERE a.account_id = ANY (accounts) ORDER BY a.account_id FOR UPDATE;
    ELSIF locking = 'skip' THEN
        locked := ARRAY(
            SELECT a.account_id FROM credit_account a WHERE a.account_id = ANY (accounts)
             ORDER BY a.account_id FOR UPDATE SKIP LOCKED);
    END IF;
    IF locking <> 'none' THEN
        taken := ARRAY(SELECT l FROM lock_allowances(kinds, subjects) AS l);
    END IF;
    moment := clock_timestamp();
    SELECT * INTO book_in_force
      FROM price_book p WHERE p.effective_from <= moment ORDER BY p.effective_from DESC, p.version DESC LIMIT 1;
    RETURN QUERY
    SELECT moment, a.account_id <> ALL (locked), a.account_id IS NOT NULL AND u.user_id IS NOT NULL, u.banned_at IS NOT NULL,
           r.api_key IS NOT NULL AND (k.key_id IS NULL OR k.revoked_at IS NOT NULL),
           a.version, a.settled, a.grace, a.held, i.job_id, i.fingerprint,
           CASE WHEN r.place = 1 THEN book_in_force.version END, CASE WHEN r.place = 1 THEN book_in_force.body END,
           CASE WHEN r.place = 1 THEN taken END
      FROM unnest(accounts, acting, api_keys, routes, idempotency_keys) WITH ORDINALITY
           AS r (account_id, user_id, api_key, route, key, place)
      LEFT JOIN credit_account a ON a.account_id = r.account_id
      LEFT JOIN users u ON u.user_id = r.user_id
      LEFT JOIN api_key k ON k.key_id = r.api_key
      LEFT JOIN idempotency i ON i.principal_id = r.user_id AND i.route = r.route AND i.key = r.key
            AND i.accepted_at > moment - remembered
     ORDER BY r.place;
END $$;
