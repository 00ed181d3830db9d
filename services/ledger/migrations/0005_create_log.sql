-- The ledger's log: a Merkle tree over its credits events, in the order in which they were sealed.

CREATE TABLE seal (
    position  bigint      PRIMARY KEY CHECK (position >= 0), -- of its first leaf: none begins where another does
    size      bigint      NOT NULL UNIQUE CHECK (size > position), -- of the tree with its leaves
    root      bytea       NOT NULL CHECK (length(root) = 32),
    event_id  uuid        NOT NULL,
    sealed_at timestamptz NOT NULL
);

CREATE TABLE leaf (
    position bigint PRIMARY KEY CHECK (position >= 0),
    event_id uuid   NOT NULL UNIQUE
);

COMMENT ON TABLE leaf IS 'The position of each credits event in the log, once and for ever.';

CREATE TABLE tile (
    level  smallint NOT NULL CHECK (level >= 0),
    number bigint   NOT NULL CHECK (number >= 0),
    hashes bytea    NOT NULL CHECK (length(hashes) BETWEEN 32 AND 8192 AND length(hashes) % 32 = 0),
    PRIMARY KEY (level, number)
);

COMMENT ON TABLE tile IS 'Up to 256 neighbouring hashes of one height of the tree: 8 x level.';

-- What receipts show of a job. It does not follow from the ledger's own events, so a rebuild leaves
-- these two alone; whoever has lost them reads the streams again.

CREATE TABLE leaf_event (
    event_id uuid  PRIMARY KEY,
    encoded  bytea NOT NULL
);

COMMENT ON TABLE leaf_event IS 'Credits events of jobs as they stand on Kafka: what was hashed.';

CREATE TABLE answered_job (
    job_id     uuid  PRIMARY KEY,
    account_id uuid  NOT NULL,
    user_id    uuid,          -- of a request that nobody could read only the payer is known
    facts      jsonb NOT NULL -- without words: of the prompt a keyed hash
);
CREATE INDEX answered_job_of_account ON answered_job (account_id);
