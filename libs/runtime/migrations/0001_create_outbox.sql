-- Events leave a service through rows written in the same transaction as the change they tell of.
-- `outbox` is the service's own event log and is never changed; `outbox_pending` is the short queue of what the relay has
-- still to publish, so that publishing never rewrites a kept row.
CREATE SEQUENCE outbox_order;

CREATE TABLE outbox (
    order_number bigint NOT NULL,
    event_id     uuid,           -- none for raw bytes on their way to a dead-letter topic
    topic        text NOT NULL,
    key          bytea,
    headers      jsonb,
    encoded      bytea,
    PRIMARY KEY (order_number)
) PARTITION BY RANGE (order_number);

CREATE TABLE outbox_pending (
    order_number bigint PRIMARY KEY,
    share        smallint NOT NULL
);
CREATE INDEX outbox_pending_by_share ON outbox_pending (share, order_number);

-- Relay replicas divide the keys among themselves: each holds a lease on a fair part of the key hashes.
CREATE TABLE relay_replica (
    replica    text PRIMARY KEY,
    live_until timestamptz NOT NULL
);
CREATE TABLE relay_share (
    share       smallint PRIMARY KEY,
    owner       text NOT NULL DEFAULT '',
    lease_until timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO relay_share (share) SELECT generate_series(0, 15);

-- Renews a replica's leases, gives back what is more than its fair part, takes expired ones up to it; answers its shares.
CREATE FUNCTION hold_relay_shares(asking text, lease interval) RETURNS smallint[] LANGUAGE plpgsql AS $$
DECLARE
    fair integer;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(current_schema || '.relay', 0));
    DELETE FROM relay_replica WHERE live_until < clock_timestamp();
    INSERT INTO relay_replica VALUES (asking, clock_timestamp() + lease)
        ON CONFLICT (replica) DO UPDATE SET live_until = excluded.live_until;
    fair := ceil(16.0 / (SELECT count(*) FROM relay_replica));
    UPDATE relay_share SET owner = '', lease_until = '-infinity'
     WHERE share IN (SELECT share FROM relay_share WHERE owner = asking ORDER BY share OFFSET fair);
    UPDATE relay_share SET owner = asking, lease_until = clock_timestamp() + lease
     WHERE share IN (
        SELECT share FROM relay_share WHERE owner = asking OR lease_until < clock_timestamp()
         ORDER BY (owner = asking) DESC, share LIMIT fair);
    RETURN coalesce((SELECT array_agg(share ORDER BY share) FROM relay_share WHERE owner = asking), '{}');
END $$;

-- Keeps empty partitions ahead of the sequence; there is no default partition, since rows in it would forbid new ones.
CREATE FUNCTION extend_outbox() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    size    CONSTANT bigint := 10000000;
    current bigint := (SELECT last_value / size FROM outbox_order);
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(current_schema || '.outbox', 0));
    FOR number IN current .. current + 4 LOOP
        EXECUTE format(
            'CREATE TABLE IF NOT EXISTS %I PARTITION OF outbox FOR VALUES FROM (%s) TO (%s)',
            'outbox_' || number, number * size, (number + 1) * size
        );
    END LOOP;
END $$;
SELECT extend_outbox();

-- Writes rows in the given order. A row's order number is taken after its key's lock, and the lock lasts until the commit:
-- so per key the order numbers are in commit order, and the relay can publish in their order.
CREATE FUNCTION append_to_outbox(
    event_ids uuid[], topics text[], keys bytea[], all_headers jsonb[], all_encoded bytea[]
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hash)
       FROM (SELECT DISTINCT hashtextextended(current_schema || encode(key, 'escape'), 0) AS hash
               FROM unnest(keys) AS key ORDER BY 1) AS hashes;
    WITH input AS (
        SELECT * FROM unnest(event_ids, topics, keys, all_headers, all_encoded) WITH ORDINALITY
               AS row (event_id, topic, key, headers, encoded, place)
         ORDER BY place
    ), numbered AS (
        SELECT nextval('outbox_order') AS order_number, event_id, topic, key, headers, encoded FROM input
    ), written AS (
        INSERT INTO outbox (order_number, event_id, topic, key, headers, encoded)
        SELECT order_number, event_id, topic, key, headers, encoded FROM numbered
        RETURNING order_number, key
    )
    INSERT INTO outbox_pending (order_number, share)
    SELECT order_number, coalesce(abs(hashtextextended(encode(key, 'escape'), 0) % 16), 0) FROM written;
END $$;
