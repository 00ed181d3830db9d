-- Admits requests as they stand, all of them or none, in one round trip. They were priced by the book `book` as of `now`; what
-- their payers and limits allow is looked at here, under the locks: of the accounts, which nobody else may hold, then of the
-- allowances, providers' last. It says only yes or no: whoever is told no asks the domain, whose rules these are.
-- Each statement of a function sees what was committed before it began, so all that is read below the locks is as they left it.
--   payers: who pays how much.  kinds, subjects: whom limits bind, in the order of their locks, with the defaults of their kind
--   and what is asked of them.  The arrays after those: the requests, and their events.
CREATE FUNCTION admit(
    now timestamptz, book bigint, remembered interval,
    payers uuid[], payers_credits bigint[],
    kinds text[], subjects text[], rates integer[], credit_caps bigint[], token_caps bigint[],
    asked_requests integer[], asked_credits bigint[], asked_tokens bigint[],
    job_ids uuid[], accounts uuid[], acting uuid[], epochs integer[], workspaces uuid[], api_keys uuid[],
    operations text[], providers text[], models text[], prompts text[], all_options jsonb[], all_units integer[],
    all_unit_credits bigint[], all_tokens bigint[], deadlines timestamptz[],
    routes text[], idempotency_keys text[], fingerprints bytea[],
    event_ids uuid[], topics text[], event_keys bytea[], all_headers jsonb[], all_encoded bytea[], webhook_urls text[],
    OUT is_admitted boolean, OUT moment timestamptz, OUT left_over allowance[]
) LANGUAGE plpgsql SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    today CONSTANT date := (now AT TIME ZONE 'UTC')::date;
    able  bigint;
BEGIN
    SELECT count(*) INTO able
      FROM (SELECT a.settled + a.grace - a.held AS available, p.credits
              FROM unnest(payers, payers_credits) AS p (account_id, credits)
              JOIN credit_account a ON a.account_id = p.account_id
             ORDER BY a.account_id FOR UPDATE OF a SKIP LOCKED) AS payer
     WHERE payer.available >= payer.credits;
    is_admitted := able = cardinality(payers);
    IF NOT is_admitted THEN
        RETURN;
    END IF;
    PERFORM FROM lock_allowances(kinds, subjects);
    moment := clock_timestamp();
    WITH asked AS (  -- a subject's own policy stands before the default of its kind, a throttle before both
        SELECT a.kind, a.subject, w.requests, w.credits, w.tokens,
               least(coalesce(a.per_minute, w.rate),
                     CASE WHEN a.throttled_until > now THEN a.throttle_per_minute END) AS rate,
               coalesce(a.credits_per_day, w.credit_cap) AS credit_cap,
               coalesce(a.tokens_per_day, w.token_cap) AS token_cap,
               a.drained_at, greatest(a.day, today) AS day,
               CASE WHEN a.day >= today THEN a.credits ELSE 0 END AS credits_used,
               CASE WHEN a.day >= today THEN a.tokens ELSE 0 END AS tokens_used
          FROM unnest(kinds, subjects, rates, credit_caps, token_caps, asked_requests, asked_credits, asked_tokens)
               AS w (kind, subject, rate, credit_cap, token_cap, requests, credits, tokens)
          JOIN allowance a ON a.kind = w.kind AND a.subject = w.subject
    ), spent AS (
        SELECT kind, subject, day, credits_used + credits AS credits, tokens_used + tokens AS tokens, credit_cap, token_cap,
               greatest(drained_at, now)
               + requests * greatest(interval '1 minute' / rate, interval '1 microsecond') AS drained_at
          FROM asked
    ), verdict AS (
        SELECT moment BETWEEN now AND now + interval '5 seconds'
               AND book = (SELECT p.version FROM price_book p WHERE p.effective_from <= moment
                            ORDER BY p.effective_from DESC, p.version DESC LIMIT 1)
               AND (SELECT bool_and(drained_at <= now + interval '1 minute'
                                    AND (credits <= credit_cap) IS NOT FALSE
                                    AND (tokens <= token_cap) IS NOT FALSE) FROM spent)
               AND (SELECT bool_and(u.user_id IS NOT NULL AND u.banned_at IS NULL
                                    AND (r.epoch = u.session_epoch) IS NOT FALSE
                                    AND (r.api_key IS NULL OR k.key_id IS NOT NULL AND k.revoked_at IS NULL)
                                    AND i.principal_id IS NULL)
                      FROM unnest(acting, epochs, api_keys, routes, idempotency_keys) AS r (user_id, epoch, api_key, route, key)
                      LEFT JOIN users u ON u.user_id = r.user_id
                      LEFT JOIN api_key k ON k.key_id = r.api_key
                      LEFT JOIN idempotency i ON i.principal_id = r.user_id AND i.route = r.route AND i.key = r.key
                            AND i.accepted_at > moment - remembered) AS is_yes
    ), held AS (
        UPDATE credit_account a SET held = a.held + p.credits
          FROM verdict, unnest(payers, payers_credits) AS p (account_id, credits)
         WHERE is_yes AND a.account_id = p.account_id
    ), taken AS (
        UPDATE allowance a SET drained_at = s.drained_at, day = s.day, credits = s.credits, tokens = s.tokens
          FROM verdict, spent s
         WHERE is_yes AND a.kind = s.kind AND a.subject = s.subject
        RETURNING a
    ), accepted AS (
        INSERT INTO job (job_id, account_id, user_id, workspace_id, api_key_id, operation, provider, model, prompt, options,
                         units, unit_credits, tokens_estimated, deadline_at, webhook_url, price_book_version, created_at, metered_on)
        SELECT j.*, book, now, today
          FROM verdict, unnest(job_ids, accounts, acting, workspaces, api_keys, operations, providers, models, prompts,
                               all_options, all_units, all_unit_credits, all_tokens, deadlines, webhook_urls) AS j
         WHERE is_yes
    ), opened AS (
        INSERT INTO hold (subject_id, account_id, credits, opened_at)
        SELECT h.job_id, h.account_id, h.units * h.unit_credits, now
          FROM verdict, unnest(job_ids, accounts, all_units, all_unit_credits) AS h (job_id, account_id, units, unit_credits)
         WHERE is_yes
    ), remembering AS (
        INSERT INTO idempotency (principal_id, route, key, fingerprint, job_id, accepted_at)
        SELECT i.user_id, i.route, i.key, i.fingerprint, i.job_id, now
          FROM verdict, unnest(acting, routes, idempotency_keys, fingerprints, job_ids) AS i (user_id, route, key, fingerprint, job_id)
         WHERE is_yes AND i.key IS NOT NULL
        ON CONFLICT (principal_id, route, key) DO UPDATE
           SET fingerprint = excluded.fingerprint, job_id = excluded.job_id, accepted_at = excluded.accepted_at
    )
    SELECT coalesce(is_yes, false), ARRAY(SELECT a FROM taken) INTO is_admitted, left_over FROM verdict;
    IF is_admitted THEN
        PERFORM append_to_outbox(event_ids, topics, event_keys, all_headers, all_encoded);
    END IF;
END $$;
