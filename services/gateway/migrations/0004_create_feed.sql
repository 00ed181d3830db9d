-- What users are told as it happens. Positions count per user, without gaps and in commit order: they are given out under
-- the lock of the user's head row.
CREATE TABLE feed_head (
    user_id  uuid   PRIMARY KEY,
    position bigint NOT NULL
);

CREATE TABLE feed (
    user_id    uuid        NOT NULL,
    position   bigint      NOT NULL,
    job_id     uuid,                   -- of news of a job
    kind       text        NOT NULL,
    body       jsonb       NOT NULL,
    told_at    timestamptz NOT NULL DEFAULT clock_timestamp(),  -- under that lock: it grows with the position
    PRIMARY KEY (user_id, position)
);
CREATE INDEX feed_by_time ON feed (told_at);  -- forgotten after a week
