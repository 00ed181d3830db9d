-- Credits that administrators take: held here at once like a job's, booked by the ledger, which closes the hold.
CREATE TABLE deduction (
    deduction_id uuid        PRIMARY KEY,  -- made of the actor and the idempotency key: a repeat is the same deduction
    account_id   uuid        NOT NULL REFERENCES credit_account,
    credits      bigint      NOT NULL CHECK (credits > 0),
    actor_id     uuid        NOT NULL,
    reason       text        NOT NULL,
    requested_at timestamptz NOT NULL
);

-- All users, the newest first, for administrators.
CREATE INDEX users_by_time ON users (created_at DESC, user_id DESC);
