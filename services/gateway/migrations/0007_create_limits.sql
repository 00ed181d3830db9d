-- How much whom may use: what was set for one subject (nothing: the default of its kind), and what it has used.
CREATE TABLE allowance (
    kind                text        NOT NULL CHECK (kind IN ('user', 'workspace', 'key', 'provider')),
    subject             text        NOT NULL,
    per_minute          integer     CHECK (per_minute > 0),
    credits_per_day     bigint      CHECK (credits_per_day >= 0),
    tokens_per_day      bigint      CHECK (tokens_per_day >= 0),
    throttle_per_minute integer     CHECK (throttle_per_minute > 0),
    throttled_until     timestamptz,
    drained_at          timestamptz NOT NULL DEFAULT to_timestamp(0),  -- a leaky bucket, as the instant at which it is empty
    day                 date        NOT NULL DEFAULT to_timestamp(0)::date,  -- which the two sums are of
    credits             bigint      NOT NULL DEFAULT 0 CHECK (credits >= 0),
    tokens              bigint      NOT NULL DEFAULT 0 CHECK (tokens >= 0),
    PRIMARY KEY (kind, subject),
    CHECK ((throttle_per_minute IS NULL) = (throttled_until IS NULL))
) WITH (fillfactor = 50);  -- written at every admission, in place where there is room

ALTER TABLE users ADD COLUMN ban_reason text;

-- Locks allowances in the order in which they are given, and answers them; those that nobody has used yet begin here.
-- Callers give providers last: their rows are the ones that everybody waits for.
CREATE FUNCTION lock_allowances(kinds text[], subjects text[]) RETURNS SETOF allowance
LANGUAGE plpgsql SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
    INSERT INTO allowance (kind, subject)
    SELECT w.kind, w.subject FROM unnest(kinds, subjects) WITH ORDINALITY AS w (kind, subject, place)
     WHERE NOT EXISTS (SELECT FROM allowance a WHERE a.kind = w.kind AND a.subject = w.subject)
     ORDER BY w.place
        ON CONFLICT DO NOTHING;
    RETURN QUERY
    SELECT a.* FROM unnest(kinds, subjects) WITH ORDINALITY AS w (kind, subject, place)
      JOIN allowance a ON a.kind = w.kind AND a.subject = w.subject
     ORDER BY w.place FOR UPDATE OF a;
END $$;
