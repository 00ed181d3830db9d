-- The trail: one row per event of any topic, found by whom, by what, by job, by chain and by time.

-- A row is what the envelope says. Nothing of the data is read but who acted and for whom, so a type
-- or a version that this release does not know has its row like any other.
CREATE TABLE trail (
    event_id       uuid        NOT NULL,
    occurred_at    timestamptz NOT NULL,
    type           text        NOT NULL,
    version        integer     NOT NULL,
    source         text        NOT NULL,
    subject        text        NOT NULL,  -- of an event about a job: the job
    account_id     uuid,
    user_id        uuid,                  -- who acted, or is spoken of
    workspace_id   uuid,
    correlation_id uuid        NOT NULL,
    causation_id   uuid,
    data           bytea       NOT NULL,  -- JSON as it was sent: no type of a column refuses it
    PRIMARY KEY (occurred_at, event_id)
) PARTITION BY RANGE (occurred_at);

COMMENT ON TABLE trail IS 'Every event of every kept topic, by day.';

CREATE INDEX trail_by_correlation ON trail (correlation_id);
CREATE INDEX trail_by_subject ON trail (subject);
CREATE INDEX trail_by_type ON trail (type, occurred_at, event_id);
CREATE INDEX trail_by_account ON trail (account_id, occurred_at, event_id) WHERE account_id IS NOT NULL;
CREATE INDEX trail_by_user ON trail (user_id, occurred_at, event_id) WHERE user_id IS NOT NULL;
CREATE INDEX trail_by_workspace ON trail (workspace_id, occurred_at, event_id) WHERE workspace_id IS NOT NULL;

-- Nothing of ours is older; a sender that has lost its clock fills one partition and not thousands.
CREATE TABLE trail_before_2020 PARTITION OF trail FOR VALUES FROM (MINVALUE) TO ('2020-01-01 00:00+00');

-- Makes the partitions of some days (UTC), where they are missing. A table is made apart and then
-- attached: that waits for no reader and makes none wait, as CREATE TABLE ... PARTITION OF would.
CREATE FUNCTION extend_trail(days date[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    here CONSTANT oid := current_schema::regnamespace;
    the_day date;
    name    text;
BEGIN
    FOR the_day IN SELECT day FROM unnest(days) AS day WHERE day >= '2020-01-01' ORDER BY day LOOP
        name := 'trail_' || to_char(the_day, 'YYYYMMDD');
        CONTINUE WHEN EXISTS (SELECT FROM pg_class WHERE relname = name AND relnamespace = here);
        PERFORM pg_advisory_xact_lock(hashtextextended(current_schema || '.trail', 0));
        -- By a statement of its own: what another has made while this one waited is seen only so.
        CONTINUE WHEN EXISTS (SELECT FROM pg_class WHERE relname = name AND relnamespace = here);
        EXECUTE format('CREATE TABLE %I (LIKE trail INCLUDING ALL)', name);
        EXECUTE format('ALTER TABLE trail ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name,
                       the_day || ' 00:00+00', the_day + 1 || ' 00:00+00');
    END LOOP;
END $$;

-- Whether an event's data has what a path asks for: a predicate that holds, or anything but `false`.
-- Data that is no JSON for Postgres has nothing.
CREATE FUNCTION trail_has(data bytea, path jsonpath) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN coalesce(
        jsonb_path_query_first(convert_from(data, 'UTF8')::jsonb, path, '{}', true) <> 'false', false);
EXCEPTION WHEN OTHERS THEN
    RETURN false;
END $$;
