-- What a consumer has read, what it has set aside, and what waits for something else to arrive first.
CREATE TABLE inbox (
    consumer text NOT NULL,
    event_id uuid NOT NULL,
    PRIMARY KEY (consumer, event_id)
);

-- A topic that was made anew has another id, and so no position: it is read from its start.
CREATE TABLE position (
    consumer    text   NOT NULL,
    topic       text   NOT NULL,
    topic_id    uuid   NOT NULL,
    partition   integer NOT NULL,
    next_offset bigint NOT NULL,
    PRIMARY KEY (consumer, topic, topic_id, partition)
);

CREATE TABLE parked (
    parked_id   uuid   PRIMARY KEY,
    sequence    bigint GENERATED ALWAYS AS IDENTITY,
    consumer    text   NOT NULL,
    topic       text   NOT NULL,
    topic_id    uuid,      -- this and the two below: null for an event that had waited in a service's own table
    partition   integer,
    next_offset bigint,
    event_id    uuid,
    event_type  text,
    order_key   text,   -- later events with this key wait behind the row
    key         bytea,
    encoded     bytea,
    reason      text   NOT NULL,
    detail      text   NOT NULL,
    parked_at   timestamptz NOT NULL,
    resolved_at timestamptz,
    resolution  text,
    resolved_by uuid,      -- who redrove or discarded it
    note        text,
    UNIQUE (consumer, topic, topic_id, partition, next_offset)
);
CREATE INDEX parked_open ON parked (sequence) WHERE resolved_at IS NULL;
CREATE INDEX parked_open_by_order_key ON parked (consumer, order_key) WHERE resolved_at IS NULL;

-- The first step of a batch, in one round trip: moves the positions, records the event ids, and looks which order keys have
-- an open parked row. Each statement sees what was committed before it began, so what is read after the positions' locks
-- includes everything that their last holder has written. The open rows are locked against whoever resolves them: a consumer
-- that finds its key blocked parks behind rows that stay open until it commits, and one that comes during a redrive waits for
-- its end and then looks again. Rows are locked in the order of their numbers everywhere, after positions and inbox and before
-- anything that a handler locks. `fresh` is null when all are fresh, as nearly always: nobody reads thousands of ids for that.
-- Many ids are inserted first as if all were fresh, which costs half of asking about each; if one is not, that is undone.
CREATE FUNCTION enter_batch(
    the_consumer text, topics text[], topic_ids uuid[], partitions integer[], expected bigint[], following bigint[],
    event_ids uuid[], order_keys text[],
    OUT moved integer, OUT fresh uuid[], OUT blocked text[]
) LANGUAGE plpgsql AS $$
DECLARE
    are_all_fresh boolean := false;
BEGIN
    UPDATE position AS stored SET next_offset = new.following
      FROM unnest(topics, topic_ids, partitions, expected, following)
           AS new (topic, topic_id, partition, expected, following)
     WHERE stored.consumer = the_consumer AND stored.topic = new.topic AND stored.topic_id = new.topic_id
       AND stored.partition = new.partition AND stored.next_offset = new.expected;
    GET DIAGNOSTICS moved = ROW_COUNT;
    IF moved < cardinality(topics) THEN RETURN; END IF;
    -- Inserted in one order everywhere, so that two transactions over the same ids cannot deadlock.
    IF cardinality(event_ids) >= 400 THEN  -- fewer are not worth a savepoint
        BEGIN
            INSERT INTO inbox (consumer, event_id)
            SELECT the_consumer, event_id FROM unnest(event_ids) AS event_id ORDER BY event_id;
            are_all_fresh := true;
        EXCEPTION WHEN unique_violation THEN
        END;
    END IF;
    IF NOT are_all_fresh THEN
        WITH admitted AS (
            INSERT INTO inbox (consumer, event_id)
            SELECT the_consumer, event_id FROM unnest(event_ids) AS event_id ORDER BY event_id
            ON CONFLICT DO NOTHING RETURNING event_id
        )
        SELECT CASE WHEN count(*) < cardinality(event_ids) THEN coalesce(array_agg(event_id), '{}') END
          INTO fresh FROM admitted;
    END IF;
    SELECT array_agg(DISTINCT order_key) INTO blocked FROM (
        SELECT order_key FROM parked
         WHERE consumer = the_consumer AND resolved_at IS NULL AND order_key = ANY(order_keys)
         ORDER BY sequence FOR SHARE
    ) AS open;
END $$;

CREATE TABLE waiting (
    sequence   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    needed_key text   NOT NULL,
    event_id   uuid   NOT NULL UNIQUE,
    encoded    bytea  NOT NULL,
    waiting_since timestamptz NOT NULL
);
CREATE INDEX waiting_by_needed_key ON waiting (needed_key, sequence);
