-- A top-up never ends, whoever grants it.
ALTER TABLE lot ADD CONSTRAINT topup_never_ends CHECK (wallet <> 'topup' OR expires_at IS NULL);
