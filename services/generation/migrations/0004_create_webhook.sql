-- What providers have told by themselves: once per job of theirs, however often they tell it.

CREATE TABLE webhook (
    provider      text        NOT NULL,
    submission_id text        NOT NULL,
    received_at   timestamptz NOT NULL,
    PRIMARY KEY (provider, submission_id)
);

COMMENT ON TABLE webhook IS 'Calls of providers about jobs of theirs; kept for a day, to know a repeat.';

CREATE INDEX webhook_received ON webhook (received_at);
