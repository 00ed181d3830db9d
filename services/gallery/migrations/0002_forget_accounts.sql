-- Objects that nobody is to see any more: a worker deletes them from storage, and then their rows.
CREATE TABLE doomed_object (
    key     text PRIMARY KEY,
    told_by uuid   -- the event that says so, if it is our own: until it is on Kafka the object stays
);

COMMENT ON TABLE doomed_object IS 'Objects in storage that are to be deleted.';
