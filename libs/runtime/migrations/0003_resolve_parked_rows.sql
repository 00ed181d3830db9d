-- Parked rows can be redriven and discarded: who did it, and locks between that and a consumer at work on the same key.
ALTER TABLE parked ADD COLUMN resolved_by uuid;
ALTER TABLE parked ADD COLUMN note text;
-- A row of an event that had waited in a service's own table comes from no place in a log.
ALTER TABLE parked ALTER COLUMN topic_id DROP NOT NULL;
ALTER TABLE parked ALTER COLUMN partition DROP NOT NULL;
ALTER TABLE parked ALTER COLUMN next_offset DROP NOT NULL;
CREATE INDEX parked_open ON parked (sequence) WHERE resolved_at IS NULL;

-- As before, but the open rows are locked against whoever resolves them: a consumer that finds its key blocked parks behind
-- rows that stay open until it commits, and one that comes during a redrive waits for its end and then looks again. Rows are
-- locked in the order of their numbers everywhere, after positions and inbox and before anything that a handler locks.
-- `fresh` is null when all are fresh, as nearly always: nobody has to read thousands of ids for that.
CREATE OR REPLACE FUNCTION enter_batch(
    the_consumer text, topics text[], topic_ids uuid[], partitions integer[], expected bigint[], following bigint[],
    event_ids uuid[], order_keys text[],
    OUT moved integer, OUT fresh uuid[], OUT blocked text[]
) LANGUAGE plpgsql AS $$
BEGIN
    UPDATE position AS stored SET next_offset = new.following
      FROM unnest(topics, topic_ids, partitions, expected, following)
           AS new (topic, topic_id, partition, expected, following)
     WHERE stored.consumer = the_consumer AND stored.topic = new.topic AND stored.topic_id = new.topic_id
       AND stored.partition = new.partition AND stored.next_offset = new.expected;
    GET DIAGNOSTICS moved = ROW_COUNT;
    IF moved < cardinality(topics) THEN RETURN; END IF;
    -- Inserted in one order everywhere, so that two transactions over the same ids cannot deadlock.
    WITH admitted AS (
        INSERT INTO inbox (consumer, event_id)
        SELECT the_consumer, event_id FROM unnest(event_ids) AS event_id ORDER BY event_id
        ON CONFLICT DO NOTHING RETURNING event_id
    )
    SELECT CASE WHEN count(*) < cardinality(event_ids) THEN coalesce(array_agg(event_id), '{}') END
      INTO fresh FROM admitted;
    SELECT array_agg(DISTINCT order_key) INTO blocked FROM (
        SELECT order_key FROM parked
         WHERE consumer = the_consumer AND resolved_at IS NULL AND order_key = ANY(order_keys)
         ORDER BY sequence FOR SHARE
    ) AS open;
END $$;
