-- What people do with pictures: facts by event, kept apart from the items that they are about.

ALTER TABLE item
    ADD COLUMN title      text    NOT NULL DEFAULT '',
    ADD COLUMN like_count integer NOT NULL DEFAULT 0 CHECK (like_count >= 0);

-- No reference to the item: after a loss of the database facts are read before pictures.
CREATE TABLE item_fact (
    item_id    uuid        PRIMARY KEY,
    account_id uuid        NOT NULL,
    job_id     uuid,
    version    integer     NOT NULL CHECK (version > 0),
    is_public  boolean     NOT NULL,
    title      text        NOT NULL,
    model      text        NOT NULL,
    is_deleted boolean     NOT NULL,
    changed_at timestamptz NOT NULL
);

COMMENT ON TABLE item_fact IS 'What owners have made of their pictures, the newest of each.';

CREATE INDEX item_fact_by_account ON item_fact (account_id);
CREATE INDEX item_fact_by_job ON item_fact (job_id);

CREATE TABLE item_like (
    item_id  uuid    NOT NULL,
    user_id  uuid    NOT NULL,
    version  integer NOT NULL CHECK (version > 0),
    is_liked boolean NOT NULL,
    PRIMARY KEY (item_id, user_id)
);

COMMENT ON TABLE item_like IS 'Who likes which picture, or has liked it once.';

CREATE INDEX item_like_by_user ON item_like (user_id) WHERE is_liked;

-- What everybody may see, newest first; of one person; and whose pictures are liked most.
CREATE INDEX item_public ON item (created_at DESC, id DESC) WHERE is_public;
CREATE INDEX item_public_by_user ON item (user_id, created_at DESC, id DESC)
    INCLUDE (like_count) WHERE is_public;

-- Pictures of an account, for its erasure.
CREATE INDEX item_by_account ON item (account_id);
