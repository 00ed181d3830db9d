-- Pictures of people, as objects in storage, that somebody has to look after: those being stored, and those that may go.
-- What no user has when its time comes is deleted.
CREATE TABLE profile_object (
    key    text        PRIMARY KEY,
    due_at timestamptz NOT NULL
);
CREATE INDEX profile_object_by_time ON profile_object (due_at);
CREATE INDEX users_by_picture ON users (profile_image) WHERE profile_image IS NOT NULL;
