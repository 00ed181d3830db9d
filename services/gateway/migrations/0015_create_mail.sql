-- Mails to be sent, and tokens that came with one. No token stands here, and no address of a user: both are made out at sending.
CREATE TABLE mail (
    mail_id    uuid        PRIMARY KEY,
    template   text        NOT NULL,
    user_id    uuid        REFERENCES users ON DELETE CASCADE,
    email      text,  -- as somebody has typed it, to be looked up: nobody may have it
    parameters jsonb       NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL,
    due_at     timestamptz NOT NULL,  -- of one that is being sent: when it is tried again if its process has died
    attempts   integer     NOT NULL DEFAULT 0,
    failed_at  timestamptz,  -- given up
    error      text,
    CHECK (num_nonnulls(user_id, email) = 1)
);
CREATE INDEX mail_by_time ON mail (due_at) WHERE failed_at IS NULL;
CREATE INDEX mail_by_user ON mail (user_id);

CREATE TABLE password_reset (
    token_sha256 bytea       PRIMARY KEY CHECK (octet_length(token_sha256) = 32),
    user_id      uuid        NOT NULL REFERENCES users ON DELETE CASCADE,
    expires_at   timestamptz NOT NULL
);
CREATE INDEX password_reset_by_user ON password_reset (user_id);
