-- Which attempt a job's answer tells of, and what its provider calls it: bills name nothing else.
ALTER TABLE usage ADD COLUMN attempt_id uuid, ADD COLUMN provider_references text NOT NULL DEFAULT '';

-- Attempts that ended and did not decide their jobs; of the others `usage` tells.
CREATE TABLE attempt (
    id                     uuid        PRIMARY KEY,
    job_id                 uuid        NOT NULL,
    account_id             uuid        NOT NULL,
    provider               text        NOT NULL,
    model                  text        NOT NULL,
    outcome                text        NOT NULL
                                       CHECK (outcome IN ('failed', 'unknown', 'handed_back', 'stopped', 'late')),
    error_code             text,
    started_at             timestamptz NOT NULL,
    ended_at               timestamptz NOT NULL,
    provider_references    text        NOT NULL,  -- one a line
    provider_cost_microusd bigint      NOT NULL CHECK (provider_cost_microusd >= 0),
    provider_cost_source   text        NOT NULL
                                       CHECK (provider_cost_source IN ('unknown', 'none', 'listed', 'reported'))
);

COMMENT ON TABLE attempt IS 'Attempts that ended and did not decide their jobs.';

CREATE INDEX attempt_by_time ON attempt (provider, ended_at, id);

-- What a bill may still tell of.
CREATE INDEX attempt_unknown ON attempt (provider, id)
 WHERE outcome IN ('unknown', 'handed_back', 'stopped', 'late') AND provider_cost_source = 'unknown';

-- A provider whose bills are compared: one at a time, as each must know what the others said.
CREATE TABLE billed_provider (
    name text PRIMARY KEY
);

COMMENT ON TABLE billed_provider IS 'Rows to be locked by whoever imports a bill of a provider.';

CREATE TABLE bill (
    id              uuid        PRIMARY KEY,
    provider        text        NOT NULL,
    file_name       text        NOT NULL,
    sha256          text        NOT NULL,
    actor           uuid        NOT NULL,
    since           timestamptz NOT NULL,
    until           timestamptz NOT NULL,
    lines           integer     NOT NULL CHECK (lines > 0),
    billed_microusd bigint      NOT NULL,
    own_microusd    bigint      NOT NULL,
    findings        text        NOT NULL,  -- JSON: how many there are of each
    imported_at     timestamptz NOT NULL
);

COMMENT ON TABLE bill IS 'Bills of providers that were compared with our attempts.';

CREATE INDEX bill_by_time ON bill (imported_at DESC, id DESC);
CREATE INDEX bill_by_provider ON bill (provider, imported_at DESC, id DESC);

CREATE TABLE bill_entry (
    bill_id         uuid        NOT NULL,
    place           integer     NOT NULL,
    provider        text        NOT NULL,
    line            integer,  -- none: an attempt that the bill does not list
    reference       text        NOT NULL,
    at              timestamptz NOT NULL,
    model           text        NOT NULL,
    amount_microusd bigint      NOT NULL,
    status          text        NOT NULL,
    finding         text        NOT NULL,
    attempt_id      uuid,
    own_microusd    bigint      NOT NULL,
    PRIMARY KEY (bill_id, place)
);

COMMENT ON TABLE bill_entry IS 'Lines of bills, and attempts that they do not list, with what was found.';

-- Whether a line, or an attempt, was there before.
CREATE INDEX bill_entry_by_reference ON bill_entry (provider, reference) WHERE reference <> '';
CREATE INDEX bill_entry_by_attempt ON bill_entry (attempt_id) WHERE attempt_id IS NOT NULL;
CREATE INDEX bill_entry_by_finding ON bill_entry (bill_id, finding, place);
