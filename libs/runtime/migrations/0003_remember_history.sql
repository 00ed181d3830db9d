-- An emptied Kafka is filled again from the outboxes, and an emptied database remembers from Kafka what its service has said.

-- The life of each topic that holds what this service has published. A topic made anew has another id and holds nothing of it:
-- the relay stands still until the kept rows have been put before whatever is new.
CREATE TABLE published_topic (
    topic    text PRIMARY KEY,
    topic_id uuid NOT NULL
);

-- One row once the service knows what it has said: a schema without it is new, or was lost, or comes from a backup.
CREATE TABLE recovery (
    is_done      boolean     PRIMARY KEY CHECK (is_done),
    recovered_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    events       bigint      NOT NULL   -- how many of its own it found on Kafka
);

CREATE FUNCTION relay_share_of(key bytea) RETURNS smallint LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(abs(hashtextextended(encode(key, 'escape'), 0) % 16), 0)::smallint
$$;

-- Notes topics that are heard of for the first time; answers those that were made anew since.
CREATE FUNCTION note_topics(topics text[], topic_ids uuid[]) RETURNS text[] LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO published_topic (topic, topic_id)
    SELECT * FROM unnest(topics, topic_ids) ON CONFLICT (topic) DO NOTHING;
    RETURN coalesce((
        SELECT array_agg(topic ORDER BY topic)
          FROM published_topic JOIN unnest(topics, topic_ids) AS now (topic, now_id) USING (topic)
         WHERE topic_id <> now_id), '{}');
END $$;

-- Puts every kept row of the topics that were made anew back into the queue, all in one commit: so no new row of a key can be
-- published before the old ones. Asked again it finds nothing to do.
CREATE FUNCTION republish_outbox(topics text[], topic_ids uuid[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    anew   text[] := note_topics(topics, topic_ids);
    queued bigint;
BEGIN
    INSERT INTO outbox_pending (order_number, share)
    SELECT order_number, relay_share_of(key) FROM outbox WHERE topic = ANY(anew) ORDER BY order_number
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS queued = ROW_COUNT;
    UPDATE published_topic SET topic_id = now_id
      FROM unnest(topics, topic_ids) AS now (topic, now_id)
     WHERE published_topic.topic = now.topic AND now.topic = ANY(anew);
    RETURN queued;
END $$;

-- Keeps events that Kafka already has, in the given order: they are history, and nothing is to be published.
CREATE FUNCTION refill_outbox(event_ids uuid[], topics text[], keys bytea[], all_encoded bytea[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM extend_outbox();
    INSERT INTO outbox (order_number, event_id, topic, key, encoded)
    SELECT nextval('outbox_order'), event_id, topic, key, encoded FROM (
        SELECT * FROM unnest(event_ids, topics, keys, all_encoded) WITH ORDINALITY
               AS row (event_id, topic, key, encoded, place) ORDER BY place) AS input;
END $$;
