-- Whoever is erased leaves: their jobs are found by their id.
CREATE INDEX job_by_user ON job (user_id, created_at DESC, job_id DESC);
