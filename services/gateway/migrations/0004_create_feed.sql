-- What users are told as it happens. Positions count per user, without gaps and in commit order: they are given out under
-- the lock of the user's head row.
CREATE TABLE feed_head (
    user_id  uuid   PRIMARY KEY,
    position bigint NOT NULL
);

CREATE TABLE feed (
    user_id    uuid        NOT NULL,
    position   bigint      NOT NULL,
    job_id     uuid        NOT NULL,
    kind       text        NOT NULL,
    state      jsonb       NOT NULL,
    PRIMARY KEY (user_id, position)
);
