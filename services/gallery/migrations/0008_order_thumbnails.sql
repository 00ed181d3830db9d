-- Thumbnails are made in the order in which they are wanted, and it is told how long they wait.

ALTER TABLE thumbnail_work ADD COLUMN wanted_at timestamptz NOT NULL DEFAULT now();

DROP INDEX thumbnail_work_due;
CREATE INDEX thumbnail_work_due ON thumbnail_work (next_at, wanted_at, asset_key)
 WHERE next_at IS NOT NULL;
