-- Log-ins can be ended before their time. A log-in is of an epoch of its user, counted up by whatever ends them all.
ALTER TABLE users ADD COLUMN session_epoch integer NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN sessions_from timestamptz NOT NULL DEFAULT to_timestamp(0);  -- when the epoch began

-- How often somebody has guessed: a leaky bucket as the instant at which it is empty. What was guessed at and from where
-- stands here as a keyed hash alone. Rows of empty buckets are removed by whoever comes next.
CREATE TABLE guess (
    subject    bytea       PRIMARY KEY CHECK (octet_length(subject) = 32),
    drained_at timestamptz NOT NULL
);
CREATE INDEX guess_by_end ON guess (drained_at);
