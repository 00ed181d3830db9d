-- Keys by which programs act for a user. Nothing here opens anything: of the secret there is a hash alone.
CREATE TABLE api_key (
    key_id        uuid        PRIMARY KEY,
    user_id       uuid        NOT NULL REFERENCES users,
    account_id    uuid        NOT NULL,
    name          text        NOT NULL,
    scopes        text[]      NOT NULL CHECK (cardinality(scopes) > 0),
    secret_sha256 bytea       NOT NULL CHECK (octet_length(secret_sha256) = 32),
    created_at    timestamptz NOT NULL,
    last_used_at  timestamptz,  -- to the minute
    revoked_at    timestamptz
);
CREATE INDEX api_key_by_user ON api_key (user_id, key_id);
