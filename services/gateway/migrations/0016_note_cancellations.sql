-- When the end of a job was first asked for: generation is told once, however often a client asks.
ALTER TABLE job ADD COLUMN cancel_requested_at timestamptz;
