-- Who may use the system, and how much of it: users, and the copies of their credit accounts.
CREATE TABLE users (
    user_id       uuid PRIMARY KEY,
    email         text NOT NULL,
    password_hash text NOT NULL,
    display_name  text,
    role          text NOT NULL CHECK (role IN ('USER', 'ADMIN')),
    profile_image text,
    banned_at     timestamptz,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL
);
-- The normalised form is unique here, whatever form a writer has used.
CREATE UNIQUE INDEX users_by_email ON users (lower(btrim(email)));

-- A copy of what the ledger says (settled, grace, version: they move together), and of it what is held for work under way.
-- It is opened at version 0 in the transaction that announces the account, so a new account can be used at once.
CREATE TABLE credit_account (
    account_id uuid   PRIMARY KEY,
    version    bigint NOT NULL CHECK (version >= 0),
    settled    bigint NOT NULL,
    grace      bigint NOT NULL CHECK (grace >= 0),
    held       bigint NOT NULL CHECK (held >= 0)
);
