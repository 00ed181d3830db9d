-- The usage trail: one row per finished job, with who, what, how it ended and what it cost.

CREATE TABLE usage (
    id                     uuid        PRIMARY KEY,
    -- The natural key of the projection: a job counts once, under whatever event ids it comes.
    job_id                 uuid        NOT NULL UNIQUE,
    account_id             uuid        NOT NULL,
    -- From here to `units_requested` empty when the request could not be read.
    user_id                uuid,
    workspace_id           uuid,
    operation              text,
    provider               text,
    model                  text,
    price_book_version     integer,
    requested_at           timestamptz,
    units_requested        integer     CHECK (units_requested >= 0),
    units_delivered        integer     NOT NULL CHECK (units_delivered >= 0),
    credits                bigint      NOT NULL CHECK (credits >= 0),
    outcome                text        NOT NULL CHECK (outcome IN ('completed', 'failed')),
    error_code             text,
    input_tokens           bigint      NOT NULL CHECK (input_tokens >= 0),
    output_tokens          bigint      NOT NULL CHECK (output_tokens >= 0),
    queued_ms              bigint      NOT NULL CHECK (queued_ms >= 0),
    provider_ms            bigint      NOT NULL CHECK (provider_ms >= 0),
    provider_cost_microusd bigint      NOT NULL CHECK (provider_cost_microusd >= 0),
    provider_cost_source   text        NOT NULL
                                       CHECK (provider_cost_source IN
                                              ('unknown', 'none', 'listed', 'reported')),
    event_id               uuid        NOT NULL,
    correlation_id         uuid        NOT NULL,
    occurred_at            timestamptz NOT NULL,
    -- Whose own list shows the row: a person's account has that person's id.
    owner_id               uuid        NOT NULL
                                       GENERATED ALWAYS AS (coalesce(user_id, account_id)) STORED,
    CHECK ((outcome = 'failed') = (error_code IS NOT NULL)),
    CHECK (outcome = 'completed' OR (credits = 0 AND units_delivered = 0)),
    CHECK (outcome = 'failed' OR user_id IS NOT NULL)
);

COMMENT ON TABLE usage IS 'One row per finished job.';

-- A user's own usage, newest first.
CREATE INDEX usage_by_owner ON usage (owner_id, occurred_at DESC, id DESC);

-- What an account has paid for, newest first.
CREATE INDEX usage_by_account ON usage (account_id, occurred_at DESC, id DESC);

-- All usage, newest first, for admins.
CREATE INDEX usage_by_time ON usage (occurred_at DESC, id DESC);
