-- Where people want to be told of their jobs, what is to be told there, and how that went. Secrets sign what is sent: they stand here as they are.
ALTER TABLE job ADD COLUMN webhook_url text;  -- named by the order itself

CREATE TABLE webhook_endpoint (
    endpoint_id     uuid        PRIMARY KEY,
    user_id         uuid        NOT NULL,       -- forgotten with them, behind the locks of their jobs
    url             text,                   -- none: it signs for the addresses that orders name
    events          text[]      NOT NULL,
    scheme          text        NOT NULL CHECK (scheme IN ('hmac', 'ed25519')),
    secret          bytea       NOT NULL,
    previous_secret bytea,                  -- signs as well until then
    previous_until  timestamptz,
    created_at      timestamptz NOT NULL,
    failing_since   timestamptz,            -- nothing has arrived since
    disabled_at     timestamptz
);
CREATE INDEX webhook_endpoint_by_user ON webhook_endpoint (user_id);
CREATE UNIQUE INDEX webhook_endpoint_of_orders ON webhook_endpoint (user_id) WHERE url IS NULL;

CREATE TABLE webhook_delivery (
    delivery_id  uuid        PRIMARY KEY,   -- told to the receiver: the same whenever it is sent again
    endpoint_id  uuid        NOT NULL REFERENCES webhook_endpoint ON DELETE CASCADE,
    url          text        NOT NULL,
    event        text        NOT NULL,
    job_id       uuid        NOT NULL,
    state        jsonb       NOT NULL,      -- of the job, as it was then
    told_at      timestamptz NOT NULL,
    due_at       timestamptz,               -- none: it has arrived, or was given up
    step         integer     NOT NULL DEFAULT 0,  -- of the ladder
    attempts     integer     NOT NULL DEFAULT 0,
    leased_until timestamptz,               -- somebody sends it; later than that, their process has died
    delivered_at timestamptz
);
CREATE INDEX webhook_delivery_due ON webhook_delivery (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX webhook_delivery_by_endpoint ON webhook_delivery (endpoint_id, told_at DESC, delivery_id DESC);
CREATE INDEX webhook_delivery_by_time ON webhook_delivery (told_at);  -- forgotten after a month

CREATE TABLE webhook_attempt (
    delivery_id uuid        NOT NULL REFERENCES webhook_delivery ON DELETE CASCADE,
    number      integer     NOT NULL,
    at          timestamptz NOT NULL,
    status      integer,                    -- of the answer; none: there was none
    error       text,
    latency_ms  integer     NOT NULL,
    PRIMARY KEY (delivery_id, number)
);
