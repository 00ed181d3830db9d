-- Whoever an outside issuer logs in, by a hash of who they are there. The row outlives its user: a token from before they left
-- opens nothing, and their next account is another one.
ALTER TABLE users DROP CONSTRAINT credentials_come_together;
ALTER TABLE users ADD CONSTRAINT a_password_has_an_email CHECK (password_hash IS NULL OR email IS NOT NULL);

CREATE TABLE outside_identity (
    identity  bytea       PRIMARY KEY CHECK (octet_length(identity) = 32),
    user_id   uuid        REFERENCES users,
    accounts  integer     NOT NULL DEFAULT 0,  -- that were opened for them so far
    closed_at timestamptz  -- when the last one was erased
);
CREATE UNIQUE INDEX outside_identity_by_user ON outside_identity (user_id);
