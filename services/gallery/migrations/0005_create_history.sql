-- How pictures stood in the past: what they were when they came, and all that was said of them since.

-- Of those alone of which something was said: the others stand as they came. Deleted ones stay, for as long as their person does.
CREATE TABLE item_origin (
    id           uuid        PRIMARY KEY,
    user_id      uuid        NOT NULL,
    account_id   uuid        NOT NULL,
    job_id       uuid,
    asset_key    text        NOT NULL,
    file_name    text        NOT NULL,
    operation    text        NOT NULL,
    model        text        NOT NULL,
    prompt       text        NOT NULL,
    title        text        NOT NULL,
    is_public    boolean     NOT NULL,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    content_type text        NOT NULL,
    size_bytes   bigint      NOT NULL,
    width        integer     NOT NULL,
    height       integer     NOT NULL
);

COMMENT ON TABLE item_origin IS 'Pictures as they came, if something was said of them since.';

CREATE INDEX item_origin_by_user ON item_origin (user_id, created_at DESC, id DESC);
CREATE INDEX item_origin_by_account ON item_origin (account_id);

CREATE TABLE item_version (
    item_id    uuid        NOT NULL,
    version    integer     NOT NULL CHECK (version > 0),
    account_id uuid        NOT NULL,
    is_public  boolean     NOT NULL,
    title      text        NOT NULL,
    model      text        NOT NULL,
    is_deleted boolean     NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (item_id, version)
);

COMMENT ON TABLE item_version IS 'All that owners have ever made of their pictures; item_fact is the newest of each.';

CREATE INDEX item_version_by_account ON item_version (account_id);

CREATE TABLE item_like_version (
    item_id  uuid        NOT NULL,
    user_id  uuid        NOT NULL,
    version  integer     NOT NULL CHECK (version > 0),
    is_liked boolean     NOT NULL,
    liked_at timestamptz NOT NULL,
    PRIMARY KEY (item_id, user_id, version)
);

COMMENT ON TABLE item_like_version IS 'Who has liked which picture when; item_like is the newest of each.';

CREATE INDEX item_like_version_by_user ON item_like_version (user_id);
