-- The durable work queue: jobs, the attempts at them, the accounts' fair shares, the providers' limits.

CREATE TABLE provider (
    name         text    PRIMARY KEY,
    -- Calls at once over all replicas. Claims of a provider's jobs queue up behind this row's lock.
    concurrency  integer NOT NULL CHECK (concurrency > 0),
    -- The start tag last served: see domain/fairness.py.
    virtual_time bigint  NOT NULL DEFAULT 0,
    -- Calls a minute over all replicas, none: as many as there are. See domain/pace.py.
    per_minute   integer CHECK (per_minute > 0),
    paced_at     timestamptz NOT NULL DEFAULT '-infinity',
    -- Until when the provider has asked to be left alone.
    rest_until   timestamptz NOT NULL DEFAULT '-infinity',
    -- The circuit breaker: see domain/breaker.py. Open: nobody calls; half open: one call, to try.
    breaker      text    NOT NULL DEFAULT 'closed' CHECK (breaker IN ('closed', 'open', 'half_open')),
    failures     integer NOT NULL DEFAULT 0,
    openings     integer NOT NULL DEFAULT 0,
    retry_at     timestamptz,
    CHECK ((breaker = 'open') = (retry_at IS NOT NULL))
);

COMMENT ON TABLE provider IS 'Picture providers, and how far each has served its queue.';

CREATE TABLE share (
    account_id uuid   NOT NULL,
    provider   text   NOT NULL,
    finish_tag bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (account_id, provider)
);

COMMENT ON TABLE share IS 'How far the jobs of an account reach into a provider''s virtual time.';

CREATE TABLE job (
    id           uuid        PRIMARY KEY,
    account_id   uuid        NOT NULL,
    provider     text        NOT NULL,
    cost         bigint      NOT NULL CHECK (cost >= 0),
    start_tag    bigint      NOT NULL,
    -- The event that asked for the job, as encoded: what the answer repeats and is caused by.
    requested    bytea       NOT NULL,
    state        text        NOT NULL
                 CHECK (state IN ('queued', 'delayed', 'running', 'completed', 'failed')),
    -- Grows with every attempt; an older one proves nothing any more.
    fence        bigint      NOT NULL DEFAULT 0,
    tries        integer     NOT NULL DEFAULT 0,
    unknowns     integer     NOT NULL DEFAULT 0,
    -- The attempt that runs, or the last one.
    attempt_id   uuid,
    queued_at    timestamptz NOT NULL,
    started_at   timestamptz,
    -- Until when a running job's lease holds, or a delayed job rests.
    wait_until   timestamptz,
    deadline_at  timestamptz NOT NULL,
    decided_at   timestamptz,
    failure_code text,
    -- When somebody must look at the job, if nothing happens before.
    due_at       timestamptz NOT NULL
                 GENERATED ALWAYS AS (least(deadline_at, wait_until)) STORED,
    CHECK ((state IN ('running', 'delayed')) = (wait_until IS NOT NULL)),
    CHECK ((state IN ('completed', 'failed')) = (decided_at IS NOT NULL)),
    CHECK ((state = 'failed') = (failure_code IS NOT NULL)),
    CHECK (state <> 'completed' OR attempt_id IS NOT NULL)
);

COMMENT ON TABLE job IS 'Every job ever asked for; a decided one keeps a repeated request from running again.';

-- What is served next: one scan in this order.
CREATE INDEX job_queue ON job (provider, start_tag, id) WHERE state = 'queued';

-- How many calls a provider has to bear.
CREATE INDEX job_running ON job (provider) WHERE state = 'running';

-- What is due: lost leases, ended rests, deadlines.
CREATE INDEX job_due ON job (due_at) WHERE decided_at IS NULL;

CREATE TABLE attempt (
    id                     uuid        PRIMARY KEY,
    job_id                 uuid        NOT NULL REFERENCES job,
    number                 integer     NOT NULL,
    worker                 text        NOT NULL,
    state                  text        NOT NULL CHECK (state IN (
                               'running', 'won', 'failed', 'unknown', 'handed_back', 'stopped', 'late')),
    started_at             timestamptz NOT NULL,
    ended_at               timestamptz,
    failure_code           text,
    provider_ms            bigint      NOT NULL DEFAULT 0,
    provider_cost_microusd bigint      NOT NULL DEFAULT 0,
    -- The provider's own words, for operators alone.
    failure_detail         text,
    -- The provider's own job, as its adapter names it: written before it is first asked about.
    submission             bytea,
    -- Whether that job may still bring something: the next attempt takes it over instead of asking anew.
    is_open                boolean     NOT NULL DEFAULT false,
    -- From when on the provider is to be told that nobody waits for it any more.
    cancel_at              timestamptz,
    -- When the objects of an attempt that lost are to be deleted.
    sweep_at               timestamptz,
    sweeps                 integer     NOT NULL DEFAULT 0,
    UNIQUE (job_id, number),
    CHECK ((state = 'running') = (ended_at IS NULL)),
    CHECK (state NOT IN ('running', 'won') OR sweep_at IS NULL),
    CHECK (submission IS NOT NULL OR NOT is_open),
    CHECK (is_open OR cancel_at IS NULL)
);

COMMENT ON TABLE attempt IS 'Every call of a provider, written before it is made.';

-- At most one attempt of a job wins: a third guard behind fence and compare-and-set.
CREATE UNIQUE INDEX attempt_winner ON attempt (job_id) WHERE state = 'won';

CREATE INDEX attempt_sweep ON attempt (sweep_at) WHERE sweep_at IS NOT NULL;

CREATE INDEX attempt_cancel ON attempt (cancel_at) WHERE cancel_at IS NOT NULL;
