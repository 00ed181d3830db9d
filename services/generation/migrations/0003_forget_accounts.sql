-- The jobs of a person who is erased: their requests are blanked, those that are under way are ended.
CREATE INDEX job_by_account ON job (account_id);
