-- Objects of persons who were erased: a worker deletes them from storage, and then their rows.
CREATE TABLE doomed_object (
    key text PRIMARY KEY
);

COMMENT ON TABLE doomed_object IS 'Objects in storage that are to be deleted.';
