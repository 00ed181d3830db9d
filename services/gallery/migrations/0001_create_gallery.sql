-- What completed jobs leave in the gallery: objects, the pictures that show them, confirmations.

CREATE TABLE asset (
    key          text        PRIMARY KEY,
    sha256       text        NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    content_type text        NOT NULL CHECK (content_type <> ''),
    size_bytes   bigint      NOT NULL CHECK (size_bytes >= 0),
    width        integer     NOT NULL CHECK (width > 0),
    height       integer     NOT NULL CHECK (height > 0),
    stored_at    timestamptz NOT NULL,
    -- A key names an object in storage: never a picture itself (`data:...`), never an address.
    CHECK (length(key) <= 1024 AND key ~ '^[^/:[:cntrl:]][^:[:cntrl:]]*$')
);

COMMENT ON TABLE asset IS 'Objects in storage that the gallery shows, and so may serve.';

-- The natural key of the projection: a job is taken in once, under whatever event ids it comes.
CREATE TABLE confirmation (
    job_id         uuid        PRIMARY KEY,
    account_id     uuid        NOT NULL,
    user_id        uuid        NOT NULL,
    items          integer     NOT NULL CHECK (items >= 0),
    event_id       uuid        NOT NULL,
    correlation_id uuid        NOT NULL,
    confirmed_at   timestamptz NOT NULL
);

COMMENT ON TABLE confirmation IS 'Completed jobs taken in, those without pictures too.';

CREATE TABLE item (
    id            uuid        PRIMARY KEY,
    user_id       uuid        NOT NULL,
    account_id    uuid        NOT NULL,
    workspace_id  uuid,
    job_id        uuid        NOT NULL REFERENCES confirmation (job_id),
    picture_index integer     NOT NULL CHECK (picture_index >= 0),
    asset_key     text        NOT NULL REFERENCES asset (key),
    file_name     text        NOT NULL CHECK (file_name <> ''),
    operation     text        NOT NULL,
    provider      text        NOT NULL,
    model         text        NOT NULL,
    prompt        text        NOT NULL,
    is_public     boolean     NOT NULL DEFAULT false,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    UNIQUE (job_id, picture_index)
);

COMMENT ON TABLE item IS 'Pictures of users, one row per picture.';

-- The gallery page: one user's pictures, newest first.
CREATE INDEX item_by_user ON item (user_id, created_at DESC, id DESC);

-- Who still shows an object.
CREATE INDEX item_by_asset ON item (asset_key);
