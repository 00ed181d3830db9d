-- Thumbnails are made in the order in which pictures came, and it is told how long they wait.

ALTER TABLE thumbnail_work ADD COLUMN stored_at timestamptz;

UPDATE thumbnail_work SET stored_at = asset.stored_at FROM asset WHERE asset.key = asset_key;
DELETE FROM thumbnail_work WHERE stored_at IS NULL;

ALTER TABLE thumbnail_work ALTER COLUMN stored_at SET NOT NULL;

DROP INDEX thumbnail_work_due;
CREATE INDEX thumbnail_work_due ON thumbnail_work (next_at, stored_at, asset_key)
 WHERE next_at IS NOT NULL;
