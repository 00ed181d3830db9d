-- What a browser shows instead of a bearer to open one stream: only its hash is kept.
CREATE TABLE stream_ticket (
    ticket_sha256 bytea       PRIMARY KEY CHECK (octet_length(ticket_sha256) = 32),
    user_id       uuid        NOT NULL REFERENCES users ON DELETE CASCADE,
    session_epoch integer,                -- of the log-in that asked for it
    stream        text        NOT NULL,   -- the path that it opens
    use_until     timestamptz NOT NULL,   -- for the first time
    used_at       timestamptz,
    ends_at       timestamptz NOT NULL    -- good for coming back until then
);
CREATE INDEX stream_ticket_by_user ON stream_ticket (user_id);
