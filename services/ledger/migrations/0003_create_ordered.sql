-- What persons have ordered under which idempotency key: a repeat is answered, and books nothing.
CREATE TABLE ordered (
    order_id        uuid        PRIMARY KEY,  -- made from the person and the key
    fingerprint     bytea       NOT NULL,
    account_id      uuid        NOT NULL,
    account_version bigint,                   -- written before the commit, like the rest of the row
    transaction_id  uuid,
    ordered_at      timestamptz NOT NULL
);
