-- Objects that are being stored and are not listed yet: whoever takes the row away decides.

CREATE TABLE announced_object (
    key        text        PRIMARY KEY,
    expires_at timestamptz NOT NULL
);

COMMENT ON TABLE announced_object IS 'Uploads under way: listed, or given up, by whoever takes the row.';
