-- What was admitted: the order and its price are facts; the other columns are what the services have said since.
CREATE TABLE job (
    job_id             uuid        PRIMARY KEY,
    account_id         uuid        NOT NULL,   -- who pays
    user_id            uuid        NOT NULL,   -- who acts
    operation          text        NOT NULL,
    provider           text        NOT NULL,
    model              text        NOT NULL,
    prompt             text        NOT NULL,
    options            jsonb       NOT NULL,
    units              integer     NOT NULL CHECK (units > 0),
    unit_credits       bigint      NOT NULL CHECK (unit_credits >= 0),
    price_book_version bigint      NOT NULL REFERENCES price_book,
    created_at         timestamptz NOT NULL,
    deadline_at        timestamptz NOT NULL,
    status             text        NOT NULL DEFAULT 'PENDING'
                       CHECK (status IN ('PENDING', 'PROCESSING', 'COMPLETED', 'FAILED', 'CANCELLED')),
    stage              text        NOT NULL DEFAULT 'queued',
    progress           smallint    NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 100),
    answer             jsonb,
    charge             jsonb,
    listing            jsonb,
    recorded_at        timestamptz,
    CONSTRAINT completed_means_done CHECK (
        status <> 'COMPLETED'
        OR (answer ->> 'outcome' = 'COMPLETED' AND charge ->> 'kind' = 'captured'
            AND listing IS NOT NULL AND recorded_at IS NOT NULL) IS TRUE
    ),
    CONSTRAINT ended_without_result_means_released CHECK (
        status NOT IN ('FAILED', 'CANCELLED')
        OR (answer ->> 'outcome' = status AND charge ->> 'kind' = 'released') IS TRUE
    )
) WITH (fillfactor = 70);  -- a job is written a handful of times after its insertion, in place where there is room

-- Credits set aside at admission. A hold has no clock: it is closed by the ledger's word on its subject, once.
CREATE TABLE hold (
    subject_id uuid        PRIMARY KEY,
    account_id uuid        NOT NULL REFERENCES credit_account,
    credits    bigint      NOT NULL CHECK (credits >= 0),
    opened_at  timestamptz NOT NULL,
    closed_at  timestamptz
);
-- The open ones are few among all that ever were.
CREATE INDEX hold_open ON hold (opened_at) WHERE closed_at IS NULL;

-- Only accepted requests stand here, so a refused one can be repeated after a top-up.
CREATE TABLE idempotency (
    principal_id uuid        NOT NULL,
    route        text        NOT NULL,
    key          text        NOT NULL,
    fingerprint  bytea       NOT NULL,
    job_id       uuid        NOT NULL,
    accepted_at  timestamptz NOT NULL,
    PRIMARY KEY (principal_id, route, key)
);

-- What an admission depends on, in one round trip. Each statement of a function sees what was committed before it began:
-- so what is read after the account's lock includes everything that the lock's last holder has written.
CREATE FUNCTION admission_terms(
    the_account uuid, the_user uuid, the_route text, the_key text, remembered interval,
    OUT at timestamptz, OUT banned_at timestamptz, OUT version bigint, OUT settled bigint, OUT grace bigint, OUT held bigint,
    OUT drained_at timestamptz, OUT book_version bigint, OUT book text, OUT earlier_job uuid, OUT earlier_fingerprint bytea
) RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
    SELECT a.version, a.settled, a.grace, a.held INTO version, settled, grace, held
      FROM credit_account a WHERE a.account_id = the_account FOR UPDATE;
    IF NOT FOUND THEN RETURN; END IF;
    SELECT u.banned_at INTO banned_at FROM users u WHERE u.user_id = the_user;
    IF NOT FOUND THEN RETURN; END IF;
    SELECT r.drained_at INTO drained_at FROM rate_limit r WHERE r.principal_id = the_user FOR UPDATE;
    at := clock_timestamp();
    SELECT p.version, p.body INTO book_version, book
      FROM price_book p WHERE p.effective_from <= at ORDER BY p.effective_from DESC, p.version DESC LIMIT 1;
    SELECT i.job_id, i.fingerprint INTO earlier_job, earlier_fingerprint
      FROM idempotency i
     WHERE i.principal_id = the_user AND i.route = the_route AND i.key = the_key AND i.accepted_at > at - remembered;
    RETURN NEXT;
END $$;
