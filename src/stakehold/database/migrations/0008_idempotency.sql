-- Keys that clients gave to what they asked for, and the stake that came of it. Expired rows are as good as absent.
CREATE TABLE IF NOT EXISTS idempotency (
  user_id UUID NOT NULL,
  scope TEXT NOT NULL,
  key TEXT NOT NULL,
  body_hash BYTEA NOT NULL,
  stake_id UUID NOT NULL,
  expires_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (user_id, scope, key))
