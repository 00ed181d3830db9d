-- Small copies of pictures, told by events of our own, and the work queue that makes them.

-- No reference to the asset: after a loss of the database thumbnails are read before pictures.
CREATE TABLE thumbnail (
    asset_key  text        PRIMARY KEY,
    item_id    uuid        NOT NULL,
    account_id uuid        NOT NULL,
    key        text        NOT NULL UNIQUE,
    sha256     text        NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    size_bytes bigint      NOT NULL CHECK (size_bytes > 0),
    width      integer     NOT NULL CHECK (width > 0),
    height     integer     NOT NULL CHECK (height > 0),
    blur_hash  text        NOT NULL,
    made_at    timestamptz NOT NULL,
    CHECK (length(key) <= 1024 AND key ~ '^[^/:[:cntrl:]][^:[:cntrl:]]*$')
);

COMMENT ON TABLE thumbnail IS 'Small copies of objects that the gallery shows.';

CREATE INDEX thumbnail_by_item ON thumbnail (item_id);
CREATE INDEX thumbnail_by_account ON thumbnail (account_id);

CREATE TABLE thumbnail_work (
    asset_key  text        PRIMARY KEY,
    attempts   integer     NOT NULL DEFAULT 0,
    object_key text,       -- under which the newest attempt stores: whoever holds it may finish
    next_at    timestamptz DEFAULT '-infinity', -- the end of a lease, too; none: it is given up
    reason     text        -- why it is given up
);

COMMENT ON TABLE thumbnail_work IS 'Objects of which a thumbnail is to be made, or cannot be.';

CREATE INDEX thumbnail_work_due ON thumbnail_work (next_at, asset_key) WHERE next_at IS NOT NULL;
CREATE INDEX thumbnail_work_by_object ON thumbnail_work (object_key);

-- What is listed already.
INSERT INTO thumbnail_work (asset_key)
SELECT key FROM asset
 WHERE content_type IN ('image/png', 'image/jpeg', 'image/webp', 'image/gif');
