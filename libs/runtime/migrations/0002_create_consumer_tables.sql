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
    topic_id    uuid   NOT NULL,
    partition   integer NOT NULL,
    next_offset bigint NOT NULL,
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
    UNIQUE (consumer, topic, topic_id, partition, next_offset)
);
CREATE INDEX parked_open_by_order_key ON parked (consumer, order_key) WHERE resolved_at IS NULL;

CREATE TABLE waiting (
    sequence   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    needed_key text   NOT NULL,
    event_id   uuid   NOT NULL UNIQUE,
    encoded    bytea  NOT NULL,
    waiting_since timestamptz NOT NULL
);
CREATE INDEX waiting_by_needed_key ON waiting (needed_key, sequence);
