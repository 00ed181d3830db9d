-- Pictures that people bring: items without a job, and addresses that are good for one upload.

ALTER TABLE item ALTER COLUMN job_id DROP NOT NULL;

CREATE TABLE upload_claim (
    item_id    uuid        PRIMARY KEY,
    expires_at timestamptz NOT NULL
);

COMMENT ON TABLE upload_claim IS 'Addresses for uploads that have been used, until they expire.';
