-- Refresh tokens already exchanged: presented again, one ends its family.
CREATE TABLE IF NOT EXISTS spent_refresh_tokens (
  user_id UUID NOT NULL,
  session_id UUID NOT NULL,
  token_hash BYTEA NOT NULL,
  PRIMARY KEY (user_id, session_id, token_hash))
