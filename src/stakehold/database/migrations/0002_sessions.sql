-- One family of refresh tokens each; `refresh_hash` is the SHA-256 of the current one. No foreign keys, here or
-- below: every insert selects its user from `users`, whose rows are never deleted, and a check would lock them.
CREATE TABLE IF NOT EXISTS sessions (
  user_id UUID NOT NULL,
  id UUID NOT NULL,
  epoch INT8 NOT NULL,
  refresh_hash BYTEA NOT NULL,
  expires_at TIMESTAMPTZ NOT NULL,
  revoked_at TIMESTAMPTZ NULL,
  PRIMARY KEY (user_id, id))
