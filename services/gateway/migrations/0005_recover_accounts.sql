-- An account that came back from the streams alone has no e-mail and no password: those never leave the gateway.
ALTER TABLE users ALTER COLUMN email DROP NOT NULL;
ALTER TABLE users ALTER COLUMN password_hash DROP NOT NULL;
ALTER TABLE users ADD CONSTRAINT credentials_come_together CHECK ((email IS NULL) = (password_hash IS NULL));
