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
    price_book_version bigint      NOT NULL,   -- of a row that is never changed; not on the streams of jobs
    created_at         timestamptz NOT NULL,
    deadline_at        timestamptz NOT NULL,
    workspace_id       uuid,                   -- where it was ordered, if in one
    api_key_id         uuid,                   -- by which key, if by one
    tokens_estimated   bigint      NOT NULL,   -- counted against the caps of the day until the true figure is known
    metered_on         date        NOT NULL,   -- that day, by the database's clock
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
